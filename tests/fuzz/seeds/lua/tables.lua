local t = {}
for i = 1, 1000 do table.insert(t, 1, i) end
table.sort(t)
return {status = 'Suspended', message = table.concat(t, ',')}
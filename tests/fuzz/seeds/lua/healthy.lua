local hs = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for i, c in ipairs(obj.status.conditions) do
    if c.type == 'Ready' and c.status == 'True' then hs.status = 'Healthy'; hs.message = c.message; return hs end
  end
end
hs.status = 'Progressing'
return hs

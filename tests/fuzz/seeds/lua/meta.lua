setmetatable(obj, {__index = function(t, k) return t[k] end})
return obj.x.y
// What the standard library has, as far as it is easily said in Jsonnet.
local number(value, name) =
  if std.type(value) == 'number' then value else error 'std.' + name + ': expected number, got ' + std.type(value);
local boolean(value, name) =
  if std.type(value) == 'boolean' then value else error 'std.' + name + ': expected boolean, got ' + std.type(value);
local isContent(value) =
  if value == null then false
  else if std.isArray(value) || std.isObject(value) then std.length(value) > 0
  else true;
{
  isString(v):: std.type(v) == 'string',
  isNumber(v):: std.type(v) == 'number',
  isBoolean(v):: std.type(v) == 'boolean',
  isObject(v):: std.type(v) == 'object',
  isArray(v):: std.type(v) == 'array',
  isFunction(v):: std.type(v) == 'function',
  isNull(v):: v == null,
  id(x):: x,

  pi:: 3.141592653589793,
  abs(n):: if number(n, 'abs') > 0 then n else -n,
  sign(n):: if number(n, 'sign') > 0 then 1 else if n < 0 then -1 else 0,
  max(a, b):: if number(a, 'max') > number(b, 'max') then a else b,
  min(a, b):: if number(a, 'min') < number(b, 'min') then a else b,
  clamp(x, minVal, maxVal):: if x < minVal then minVal else if x > maxVal then maxVal else x,
  log2(x):: std.log(x) / std.log(2),
  log10(x):: std.log(x) / std.log(10),
  deg2rad(x):: x * std.pi / 180,
  rad2deg(x):: x * 180 / std.pi,
  mod(a, b)::
    if std.isNumber(a) && std.isNumber(b) then std.modulo(a, b)
    else if std.isString(a) then std.format(a, b)
    else error 'std.mod: expected numbers or a string',
  xor(x, y):: boolean(x, 'xor') != boolean(y, 'xor'),
  xnor(x, y):: boolean(x, 'xnor') == boolean(y, 'xnor'),

  primitiveEquals(x, y)::
    if std.type(x) != std.type(y) then false
    else if std.isArray(x) || std.isObject(x) then error 'std.primitiveEquals: not a primitive value'
    else x == y,
  equals(x, y):: x == y,
  assertEqual(a, b):: if a == b then true else error 'Assertion failed. ' + a + ' != ' + b,
  __compare(a, b):: if a < b then -1 else if a > b then 1 else 0,
  __compare_array(a, b):: std.__compare(a, b),
  __array_less(a, b):: a < b,
  __array_greater(a, b):: a > b,
  __array_less_or_equal(a, b):: a <= b,
  __array_greater_or_equal(a, b):: a >= b,

  objectFields(o):: std.objectFieldsEx(o, false),
  objectFieldsAll(o):: std.objectFieldsEx(o, true),
  objectHas(o, f):: std.objectHasEx(o, f, false),
  objectHasAll(o, f):: std.objectHasEx(o, f, true),
  objectValues(o):: [o[k] for k in std.objectFields(o)],
  objectValuesAll(o):: [o[k] for k in std.objectFieldsAll(o)],
  objectKeysValues(o):: [{ key: k, value: o[k] } for k in std.objectFields(o)],
  objectKeysValuesAll(o):: [{ key: k, value: o[k] } for k in std.objectFieldsAll(o)],
  get(o, f, default=null, inc_hidden=true):: if std.objectHasEx(o, f, inc_hidden) then o[f] else default,
  mapWithKey(func, obj)::
    if !std.isFunction(func) then error 'std.mapWithKey: expected function, got ' + std.type(func)
    else if !std.isObject(obj) then error 'std.mapWithKey: expected object, got ' + std.type(obj)
    else { [k]: func(k, obj[k]) for k in std.objectFields(obj) },
  prune(a)::
    if std.isArray(a) then [x for x in [std.prune(x) for x in a] if isContent(x)]
    else if std.isObject(a) then
      local pruned = { [k]: std.prune(a[k]) for k in std.objectFields(a) };
      { [k]: pruned[k] for k in std.objectFields(pruned) if isContent(pruned[k]) }
    else a,
  mergePatch(target, patch)::
    if std.isObject(patch) then
      local base = if std.isObject(target) then target else {};
      local kept = std.setDiff(std.setUnion(std.objectFields(base), std.objectFields(patch)), [
        k
        for k in std.objectFields(patch)
        if patch[k] == null
      ]);
      {
        [k]:
          if !std.objectHas(patch, k) then base[k]
          else std.mergePatch(if std.objectHas(base, k) then base[k] else null, patch[k])
        for k in kept
      }
    else patch,

  map(func, arr)::
    if !std.isFunction(func) then error 'std.map: expected function, got ' + std.type(func)
    else if !std.isArray(arr) && !std.isString(arr) then error 'std.map: expected array, got ' + std.type(arr)
    else if std.isString(arr) then std.map(func, std.stringChars(arr))
    else std.makeArray(std.length(arr), function(i) func(arr[i])),
  mapWithIndex(func, arr)::
    if !std.isFunction(func) then error 'std.mapWithIndex: expected function, got ' + std.type(func)
    else if !std.isArray(arr) && !std.isString(arr) then
      error 'std.mapWithIndex: expected array, got ' + std.type(arr)
    else if std.isString(arr) then std.mapWithIndex(func, std.stringChars(arr))
    else std.makeArray(std.length(arr), function(i) func(i, arr[i])),
  filterMap(filter_func, map_func, arr):: std.map(map_func, std.filter(filter_func, arr)),
  find(value, arr)::
    if !std.isArray(arr) then error 'std.find: expected array, got ' + std.type(arr)
    else std.filter(function(i) arr[i] == value, std.range(0, std.length(arr) - 1)),
  count(arr, x):: std.length(std.filter(function(v) v == x, arr)),
  member(arr, x)::
    if std.isString(arr) then std.length(std.findSubstr(x, arr)) > 0 else std.count(arr, x) > 0,
  contains(arr, elem):: std.member(arr, elem),
  removeAt(arr, i):: [arr[at] for at in std.range(0, std.length(arr) - 1) if at != i],
  remove(arr, elem)::
    local found = std.find(elem, arr);
    if std.length(found) == 0 then arr else std.removeAt(arr, found[0]),
  flattenArrays(arrs):: std.join([], arrs),
  flattenDeepArray(value)::
    if std.isArray(value) then [y for x in value for y in std.flattenDeepArray(x)] else [value],
  deepJoin(arr)::
    if std.isString(arr) then arr
    else if std.isArray(arr) then std.join('', [std.deepJoin(x) for x in arr])
    else error 'std.deepJoin: expected string or array, got ' + std.type(arr),
  lines(arr):: std.join('\n', arr + ['']),
  set(arr, keyF=std.id):: std.uniq(std.sort(arr, keyF), keyF),
  setMember(x, arr, keyF=std.id):: std.length(std.setInter([x], arr, keyF)) > 0,
  avg(arr):: if std.length(arr) == 0 then error 'std.avg: the array is empty' else std.sum(arr) / std.length(arr),

  isEmpty(str):: std.length(str) == 0,
  split(str, c):: std.splitLimit(str, c, -1),
  equalsIgnoreCase(str1, str2):: std.asciiLower(str1) == std.asciiLower(str2),
  resolvePath(f, r):: std.join('/', std.split(f, '/')[:-1] + [r]),
  escapeStringPython(str):: std.escapeStringJson(str),
  escapeStringBash(str_):: "'" + std.strReplace(std.toString(str_), "'", "'\"'\"'") + "'",
  escapeStringDollars(str_):: std.strReplace(std.toString(str_), '$', '$$'),
  escapeStringXML(str_)::
    local escapes = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;', "'": '&apos;' };
    std.join('', [std.get(escapes, c, c) for c in std.stringChars(std.toString(str_))]),

  manifestJson(value):: std.manifestJsonEx(value, '    '),
  manifestJsonMinified(value):: std.manifestJsonEx(value, '', '', ':'),
  manifestYamlStream(value, indent_array_in_object=false, c_document_end=true, quote_keys=true)::
    if !std.isArray(value) then error 'std.manifestYamlStream: expected array, got ' + std.type(value)
    else
      '---\n' + std.join(
        '\n---\n', [std.manifestYamlDoc(e, indent_array_in_object, quote_keys) for e in value]
      ) + if c_document_end then '\n...\n' else '\n',
  manifestIni(ini)::
    local body(values) = std.join([], [
      local value = values[k];
      if std.isArray(value) then ['%s = %s' % [k, v] for v in value] else ['%s = %s' % [k, value]]
      for k in std.objectFields(values)
    ]);
    local main = if std.objectHas(ini, 'main') then body(ini.main) else [];
    local sections = [['[%s]' % k] + body(ini.sections[k]) for k in std.objectFields(ini.sections)];
    std.join('\n', main + std.flattenArrays(sections) + ['']),
  manifestPython(v)::
    if std.isObject(v) then
      '{%s}' % std.join(
        ', ', ['%s: %s' % [std.escapeStringPython(k), std.manifestPython(v[k])] for k in std.objectFields(v)]
      )
    else if std.isArray(v) then '[%s]' % std.join(', ', [std.manifestPython(x) for x in v])
    else if std.isString(v) then std.escapeStringPython(v)
    else if std.isFunction(v) then error 'cannot manifest function'
    else if v == true then 'True'
    else if v == false then 'False'
    else if v == null then 'None'
    else std.toString(v),
  manifestPythonVars(conf)::
    std.join('\n', ['%s = %s' % [k, std.manifestPython(conf[k])] for k in std.objectFields(conf)] + ['']),
  manifestXmlJsonml(value)::
    if !std.isArray(value) then error 'std.manifestXmlJsonml: expected array, got ' + std.type(value)
    else
      local element(v) =
        if std.isString(v) then v
        else
          local hasAttributes = std.length(v) > 1 && std.isObject(v[1]);
          local attributes = if hasAttributes then v[1] else {};
          local children = v[if hasAttributes then 2 else 1:];
          local written = std.join('', [' %s="%s"' % [k, attributes[k]] for k in std.objectFields(attributes)]);
          std.deepJoin(['<', v[0], written, '>', [element(x) for x in children], '</', v[0], '>']);
      element(value),
  manifestToml(value):: std.manifestTomlEx(value, '  '),
  manifestTomlEx(value, indent)::
    local bare = std.set(std.stringChars('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-'));
    local key(k) =
      if k != '' && std.all([std.setMember(c, bare) for c in std.stringChars(k)]) then k else std.escapeStringJson(k);
    local isTables(v) = std.isArray(v) && std.length(v) > 0 && std.all([std.isObject(x) for x in v]);
    local isSection(v) = std.isObject(v) || isTables(v);
    local render(v, inline, outer) =
      if std.isString(v) then std.escapeStringJson(v)
      else if v == null then error 'Tried to manifest "null"'
      else if std.isFunction(v) then error 'Tried to manifest function'
      else if std.isArray(v) then
        if std.length(v) == 0 then '[]'
        else
          local separator = if inline then ' ' else '\n';
          local inner = if inline then '' else outer + indent;
          '[' + separator + std.join(',' + separator, [inner + render(x, true, '') for x in v]) + separator
          + (if inline then '' else outer) + ']'
      else if std.isObject(v) then
        '{ ' + std.join(', ', [key(k) + ' = ' + render(v[k], true, '') for k in std.objectFields(v)]) + ' }'
      else std.toString(v);
    local path(names) = std.join('.', [key(name) for name in names]);
    local table(v, names, outer) =
      local values = [
        outer + key(k) + ' = ' + render(v[k], false, outer)
        for k in std.objectFields(v)
        if !isSection(v[k])
      ];
      local section(k) =
        local within(x, open, close) =
          outer + open + path(names + [k]) + close + (if x == {} then '' else '\n')
          + table(x, names + [k], outer + indent);
        if std.isObject(v[k]) then within(v[k], '[', ']')
        else std.join('\n\n', [within(x, '[[', ']]') for x in v[k]]);
      local sections = [section(k) for k in std.objectFields(v) if isSection(v[k])];
      std.join('\n\n', [std.join('\n', values)] + sections);
    if std.isObject(value) then table(value, [], '')
    else error 'TOML body must be an object. Got ' + std.type(value),
}

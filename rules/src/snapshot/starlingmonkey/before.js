// Comes before the bindings. They make each function that the world imports itself a module of its own, and an interface a
// module of its functions: here the functions are in `$root` too, and an interface is its module's default, as for QuickJS.
const run_define = globalThis.defineBuiltinModule;
const run_root = {};
globalThis.defineBuiltinModule = (name, members) => {
  const isFunction = !name.includes(":") && "default" in members;
  run_define(name, isFunction ? members : { ...members, default: members });
  if (isFunction) run_root[name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = members.default;
};

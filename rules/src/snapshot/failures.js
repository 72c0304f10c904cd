// Functions that return a `result` fail by throwing what they fail with, or an object whose `payload` it is. An `Error` without
// one is a bug of the program: it ends the call, even where every text would do to fail with and the message is one.
let running = false;
const guard = (name, fails, owner, call) =>
  function (...all) {
    const self = this === guarded[name] ? owner : this;
    // What the program calls itself is its own affair.
    if (running) return call.apply(self, all);
    running = true;
    try {
      return call.apply(self, all);
    } catch (thrown) {
      if (thrown !== null && typeof thrown === "object" && Object.hasOwn(thrown, "payload")) throw thrown.payload;
      if (fails === "text" && thrown instanceof Error) {
        console.error(`uncaught ${thrown}\n${thrown.stack ?? ""}`.trimEnd());
        // No text, so that the call can't go on.
        throw Symbol("uncaught");
      }
      throw thrown;
    } finally {
      running = false;
    }
  };
const guarded = {};
PROMISES.forEach(([path, isMethod, fails]) => {
  if (!fails) return;
  const [name, ...below] = path;
  const member = below.pop();
  if (member === undefined) {
    guarded[name] = guard(name, fails, undefined, program[name]);
    return;
  }
  // A class stays what it is, an interface is built upon.
  const isClass = isMethod || typeof program[name] === "function";
  guarded[name] ??= isClass && below.length === 0 ? program[name] : Object.create(program[name]);
  let owner = program[name];
  let holder = guarded[name];
  for (const part of below) holder = owner = owner[part];
  if (isMethod) holder = owner = owner.prototype;
  const value = guard(name, fails, owner, owner[member]);
  Object.defineProperty(holder, member, { value, writable: true, enumerable: false, configurable: true });
});

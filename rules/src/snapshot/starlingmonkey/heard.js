// What the program listens for, as it says so while it is loaded.
export const heard = new Set();
const listen = globalThis.addEventListener;
globalThis.addEventListener = (type, ...rest) => {
  heard.add(`${type}`);
  return listen.call(globalThis, type, ...rest);
};
export const done = () => {
  globalThis.addEventListener = listen;
};

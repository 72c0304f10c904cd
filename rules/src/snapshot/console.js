// `console`, which the interpreter lacks: everything to standard error but what a program says to standard output.
// Streams are taken anew for each line, because none may be held when the state is frozen.
import stdout from "wasi:cli/stdout@0.2.12";
import stderr from "wasi:cli/stderr@0.2.12";

const show = (value, depth, seen) => {
  switch (typeof value) {
    case "string":
      return depth === 0 ? value : JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "function":
      return `[Function: ${value.name || "(anonymous)"}]`;
    case "object":
      break;
    default:
      return String(value);
  }
  if (value === null) return "null";
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}`.trimEnd() : String(value);
  if (seen.includes(value)) return "[Circular]";
  if (depth > 4) return Array.isArray(value) ? "[Array]" : "[Object]";
  const inner = [...seen, value];
  const each = (item) => show(item, depth + 1, inner);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[ ${Array.from(value, each).join(", ")} ]`;
  if (value instanceof Map) return `Map { ${Array.from(value, ([k, v]) => `${each(k)} => ${each(v)}`).join(", ")} }`;
  if (value instanceof Set) return `Set { ${Array.from(value, each).join(", ")} }`;
  const entries = Object.entries(value).map(([key, item]) => `${key}: ${each(item)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
};

const utf8 = (text) => {
  const bytes = [];
  for (const character of text.toWellFormed ? text.toWellFormed() : text) {
    const point = character.codePointAt(0);
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    else
      bytes.push(
        0xf0 | (point >> 18),
        0x80 | ((point >> 12) & 63),
        0x80 | ((point >> 6) & 63),
        0x80 | (point & 63),
      );
  }
  return new Uint8Array(bytes);
};

// One write may carry so many bytes.
const CHUNK = 4096;

const writer = (take) => (...values) => {
  const bytes = utf8(`${values.map((value) => show(value, 0, [])).join(" ")}\n`);
  const stream = take();
  try {
    for (let at = 0; at < bytes.length; at += CHUNK) {
      stream.blockingWriteAndFlush(bytes.subarray(at, at + CHUNK));
    }
  } catch {
    // Nobody listens: not the program's concern.
  } finally {
    stream[Symbol.dispose]();
  }
};

const out = writer(() => stdout.getStdout());
const err = writer(() => stderr.getStderr());

globalThis.console ??= {
  log: out,
  info: out,
  debug: out,
  warn: err,
  error: err,
  trace: err,
  assert(condition, ...values) {
    if (!condition) err("Assertion failed", ...values);
  },
};

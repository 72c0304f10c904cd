// `TextEncoder` and `TextDecoder` for UTF-8, which the interpreter lacks and every program that handles bytes expects.
globalThis.TextEncoder = class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    const bytes = [];
    for (const character of String(text)) {
      let point = character.codePointAt(0);
      // Half of a pair stands for nothing.
      if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
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
    return Uint8Array.from(bytes);
  }
};
globalThis.TextDecoder = class TextDecoder {
  #fatal;
  constructor(label = "utf-8", { fatal = false } = {}) {
    if (!["utf-8", "utf8"].includes(String(label).toLowerCase())) throw new RangeError(`${label} is not supported`);
    this.#fatal = fatal;
  }
  get encoding() {
    return "utf-8";
  }
  decode(source = new Uint8Array()) {
    const bytes = ArrayBuffer.isView(source)
      ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
      : new Uint8Array(source);
    let text = "";
    for (let at = 0; at < bytes.length; ) {
      const first = bytes[at++];
      const more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : -1;
      let point = more === 0 ? first : first & (0x3f >> more);
      let n = 0;
      for (; n < more && (bytes[at] & 0xc0) === 0x80; n++) {
        const next = (point << 6) | (bytes[at] & 63);
        // Longer than it need be, half of a pair, or beyond the last character: told by the second byte.
        if (n === 0 && ((more === 2 && (next < 0x20 || (next >= 0x360 && next < 0x380))) || (more === 3 && (next < 0x10 || next > 0x10f)))) break;
        point = next;
        at++;
      }
      if (more < 0 || n < more) {
        if (this.#fatal) throw new TypeError("not UTF-8");
        point = 0xfffd;
      }
      text += String.fromCodePoint(point);
    }
    return text.startsWith("\ufeff") ? text.slice(1) : text;
  }
};

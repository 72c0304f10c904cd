import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.12";

/** @type {import("run:world").World["incomingHandler"]} */
export const incomingHandler = {
  handle(request, out) {
    const path = request.pathWithQuery() ?? "/";
    if (path === "/") respond(out, 200, "Hello, world!\n");
    else respond(out, 404, `nothing at ${path}\n`);
  },
};

/**
 * Sends a whole response.
 * @param {import("wasi:http/types@0.2.12").ResponseOutparam} out
 * @param {number} status
 * @param {string} text
 */
function respond(out, status, text) {
  const headers = Fields.fromList([["content-type", new TextEncoder().encode("text/plain")]]);
  const response = new OutgoingResponse(headers);
  response.setStatusCode(status);
  const body = response.body();
  ResponseOutparam.set(out, { tag: "ok", val: response });
  const stream = body.write();
  const bytes = new TextEncoder().encode(text);
  // A stream takes this much at once.
  for (let at = 0; at < bytes.length; at += 4096) stream.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
  stream[Symbol.dispose]?.();
  OutgoingBody.finish(body, null);
}

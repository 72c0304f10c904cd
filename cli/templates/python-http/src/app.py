"""A web page, as a `wasi:http` component."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = request.path_with_query() or "/"
        if path == "/":
            respond(response_out, 200, "Hello, world!\n")
        else:
            respond(response_out, 404, f"nothing at {path}\n")


def respond(out: ResponseOutparam, status: int, text: str) -> None:
    """Sends a whole response."""
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    rest = text.encode()
    with body.write() as stream:
        while rest:
            # A stream takes this much at once.
            stream.blocking_write_and_flush(rest[:4096])
            rest = rest[4096:]
    OutgoingBody.finish(body, None)

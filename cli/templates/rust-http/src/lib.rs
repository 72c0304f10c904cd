//! A web page, as a `wasi:http` component.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, text) = match path.as_str() {
            "/" => (200, "Hello, world!\n".to_owned()),
            _ => (404, format!("nothing at {path}\n")),
        };
        respond(out, status, &text);
    }
}

/// Sends a whole response. What goes wrong from here on is the connection's trouble: there is no one left to tell.
fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]);
    let response = OutgoingResponse::new(headers.expect("`content-type` is a header a guest may set"));
    response.set_status_code(status).expect("`handle` only uses statuses that exist");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));

    let stream = body.write().expect("the stream is taken once");
    let sent = text.as_bytes().chunks(4096).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok());
    drop(stream);
    if sent {
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Hello);

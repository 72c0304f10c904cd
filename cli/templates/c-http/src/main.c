/* A web page, as a `wasi:http` component. Every build makes `proxy.h` from the world `wasi:http/proxy`. */

#include "proxy.h"

#include <stdio.h>
#include <string.h>

/* Sends a whole response. What goes wrong from here on is the connection's trouble: there is no one left to tell. */
static void respond(wasi_http_types_own_response_outparam_t out, uint16_t status, const char *text) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    proxy_string_t name;
    proxy_string_set(&name, "content-type");
    wasi_http_types_field_value_t value = {(uint8_t *)"text/plain", strlen("text/plain")};
    wasi_http_types_header_error_t refused;
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value, &refused);

    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false};
    result.val.ok = wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t response = wasi_http_types_borrow_outgoing_response(result.val.ok);
    wasi_http_types_method_outgoing_response_set_status_code(response, status);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(response, &body);
    wasi_http_types_static_response_outparam_set(out, &result);

    wasi_io_streams_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    wasi_io_streams_stream_error_t broken;
    bool sent = true;
    for (size_t left = strlen(text), n; sent && left > 0; text += n, left -= n) {
        n = left < 4096 ? left : 4096;
        proxy_list_u8_t part = {(uint8_t *)text, n};
        sent = wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(stream), &part, &broken);
    }
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t error;
    if (sent) {
        wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
    }
}

void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t request,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out) {
    proxy_string_t path;
    bool has_path = wasi_http_types_method_incoming_request_path_with_query(
        wasi_http_types_borrow_incoming_request(request), &path);
    if (!has_path || (path.len == 1 && path.ptr[0] == '/')) {
        respond(out, 200, "Hello, world!\n");
    } else {
        char text[1024];
        snprintf(text, sizeof text, "nothing at %.*s\n", (int)path.len, (char *)path.ptr);
        respond(out, 404, text);
    }
    if (has_path) {
        proxy_string_free(&path);
    }
    wasi_http_types_incoming_request_drop_own(request);
}

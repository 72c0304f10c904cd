// Package export_wasi_http_incoming_handler is a web page, as a wasi:http component.
package export_wasi_http_incoming_handler

import (
	"slices"

	"hello/imports/wasi_http_types"

	types "go.bytecodealliance.org/pkg/wit/types"
)

// Handle answers a request.
func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	path := request.PathWithQuery().SomeOr("/")
	if path == "/" {
		respond(out, 200, "Hello, world!\n")
	} else {
		respond(out, 404, "nothing at "+path+"\n")
	}
}

// respond sends a whole response. What goes wrong from here on is the connection's trouble: there is no one left to tell.
func respond(out *wasi_http_types.ResponseOutparam, status uint16, text string) {
	contentType := types.Tuple2[string, []uint8]{F0: "content-type", F1: []byte("text/plain")}
	headers := wasi_http_types.FieldsFromList([]types.Tuple2[string, []uint8]{contentType}).Ok()
	response := wasi_http_types.MakeOutgoingResponse(headers)
	response.SetStatusCode(status)
	body := response.Body().Ok()
	wasi_http_types.ResponseOutparamSet(out, types.Ok[*wasi_http_types.OutgoingResponse, wasi_http_types.ErrorCode](response))

	stream := body.Write().Ok()
	sent := true
	// A stream takes this much at once.
	for part := range slices.Chunk([]byte(text), 4096) {
		sent = sent && stream.BlockingWriteAndFlush(part).IsOk()
	}
	stream.Drop()
	if sent {
		wasi_http_types.OutgoingBodyFinish(body, types.None[*wasi_http_types.Fields]())
	}
}

//! Serves a handler of HTTP as servers of `wasi:http` do, by wasmtime's own implementation of it: every request meets a
//! fresh instance. There are no sockets: a request is handed to the handler in this process, and its whole response taken.

use std::fmt::{self, Write as _};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, OptLevel, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Whose pages these are, as requests say.
const ORIGIN: &str = "http://localhost";

/// The most a guest may write to a standard stream, in bytes.
const STREAM_BYTES_MAX: usize = 1 << 16;

/// A component that answers requests.
pub(crate) struct Server {
    handler: ProxyPre<Guest>,
}

/// A whole response.
pub(crate) struct Response {
    status: u16,
    /// In alphabetical order.
    headers: Vec<(String, String)>,
    body: String,
}

impl fmt::Display for Response {
    /// The status, a header a line, and after an empty line the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        self.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        write!(f, "\n{}", self.body)
    }
}

impl Server {
    /// Compiles a component. It sees the interfaces of WASI 0.2, and nothing of this machine through them.
    ///
    /// # Errors
    ///
    /// What the engine says of bytes that are no component, of an import that nobody provides, and of one that exports no
    /// `wasi:http/incoming-handler`.
    pub(crate) fn new(component: &[u8]) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        // A handler is asked a few times only, and Python's is large.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let handler = ProxyPre::new(linker.instantiate_pre(&Component::new(&engine, component)?)?)?;
        Ok(Self { handler })
    }

    /// The response to a request.
    ///
    /// # Errors
    ///
    /// The handler trapped, answered with an error, or not at all: with what it wrote to its standard error.
    pub(crate) fn respond(&self, method: &str, path: &str, body: &str) -> Result<Response, String> {
        let request = Request::builder().method(method).uri(format!("{ORIGIN}{path}")).body(body.to_owned());
        let stderr = MemoryOutputPipe::new(STREAM_BYTES_MAX);
        let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let response = waiting.block_on(self.exchange(request.expect("a request"), stderr.clone()));
        response.map_err(|error| {
            let mut told = String::from_utf8_lossy(&stderr.contents()).into_owned();
            write!(told, "{}", error.root_cause()).expect("a string can be written to");
            told
        })
    }

    async fn exchange(&self, request: Request<String>, stderr: MemoryOutputPipe) -> wasmtime::Result<Response> {
        let wasi = WasiCtx::builder().stderr(stderr).build();
        let guest = Guest { wasi, http: WasiHttpCtx::new(), table: ResourceTable::new(), closed: Closed };
        let mut store = Store::new(self.handler.engine(), guest);
        let request = request.map(|body| Full::new(body.into()).map_err(|never| -> Error { match never {} }));
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let (out, response) = oneshot::channel();
        let out = store.data_mut().http().new_response_outparam(out)?;

        // The response can begin before the handler is done, and the handler can wait until its body is taken.
        let handler = self.handler.clone();
        let handling = tokio::spawn(async move {
            let proxy = handler.instantiate_async(&mut store).await?;
            proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
        });
        let response = match response.await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(code)) => wasmtime::bail!("the handler answered with the error {code:?}"),
            Err(_) => None,
        };
        let whole = match response {
            Some(response) => Some(taken(response).await),
            None => None,
        };
        // A trap says more than the half a response that it leaves.
        handling.await.expect("the task is not cancelled")?;
        whole.unwrap_or_else(|| Err(wasmtime::format_err!("the handler returned without a response")))
    }
}

/// A response with its whole body.
async fn taken(
    response: hyper::Response<wasmtime_wasi_http::p2::body::HyperOutgoingBody>,
) -> wasmtime::Result<Response> {
    let (head, body) = response.into_parts();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    let body = body.collect().await.map_err(|error| wasmtime::format_err!("the body broke off: {error:?}"))?;
    Ok(Response { status: head.status.as_u16(), headers, body: text(&body.to_bytes()) })
}

/// What an instance is given.
struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    closed: Closed,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.closed }
    }
}

/// Refuses the requests that a guest would send itself.
struct Closed;

/// How far a request or a response has come.
type Exchange = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Closed {
    fn send_request(
        &mut self,
        _: hyper::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Exchange,
    ) -> Box<dyn Future<Output = Result<(hyper::Response<WasiBody>, Exchange), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

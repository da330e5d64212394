//! The loopback HTTP server under every part of the sandbox, and the record of what passed through it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lock;

/// A request body larger than this is refused with 413.
const BODY_LIMIT: usize = 64 << 20;
/// So many exchanges are kept; older ones are dropped.
const EXCHANGES_KEPT: usize = 20_000;

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PATCH`, …
    pub method: Method,
    /// The path as sent, still percent-encoded.
    pub path: String,
    /// The query's pairs in order, decoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// The value of the header `name`, where it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of the query parameter `name`.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the query parameter `name` is `true` or `1`, as Go's strconv reads it.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "True" | "TRUE" | "t" | "T" | "1"))
    }

    /// The parts of the path between slashes, decoded; empty parts are left out.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }
}

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// Known when the answer is made.
    Full(Bytes),
    /// Sent piece by piece until the sender is dropped.
    Stream(mpsc::UnboundedReceiver<Bytes>),
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

impl Response {
    /// An answer of `status` with these bytes.
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: HeaderMap::new(), body: Body::Full(body.into()) }
    }

    /// An answer of `status` with JSON.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, value.to_string()).with("content-type", "application/json; charset=utf-8")
    }

    /// The same answer with the header `name`; a value that is no header value is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// What passed through a server: one request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body of the answer; empty for a stream.
    pub body: Bytes,
}

/// What answers requests.
pub type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// A running server on a loopback port; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    exchanges: Arc<Mutex<VecDeque<Exchange>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `port` of 127.0.0.1 (0: any free one) and answers with `handler`, inside the current Tokio runtime.
    /// Fails when the port can't be bound.
    pub async fn start(port: u16, handler: Handler) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let exchanges = Arc::new(Mutex::new(VecDeque::new()));
        let task = tokio::spawn(accept(listener, handler, Arc::clone(&exchanges)));
        Ok(Self { address, exchanges, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked and answered so far, oldest first; the latest 20,000 are kept.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.exchanges).iter().cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, handler: Handler, exchanges: Arc<Mutex<VecDeque<Exchange>>>) {
    // Dropped with this task, so that connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                continue;
            }
        };
        let (handler, exchanges) = (Arc::clone(&handler), Arc::clone(&exchanges));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&handler), Arc::clone(&exchanges)));
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: http::Request<Incoming>,
    handler: Handler,
    exchanges: Arc<Mutex<VecDeque<Exchange>>>,
) -> Result<http::Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        let mut refused = http::Response::new(Body::Full(Bytes::new()));
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    };
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let response = handler(request.clone());
    let body = match &response.body {
        Body::Full(bytes) => bytes.clone(),
        Body::Stream(_) => Bytes::new(),
    };
    let exchange = Exchange { request, status: response.status, headers: response.headers.clone(), body };
    {
        let mut exchanges = lock(&exchanges);
        exchanges.push_back(exchange);
        if exchanges.len() > EXCHANGES_KEPT {
            exchanges.pop_front();
        }
    }
    let mut answer = http::Response::new(response.body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    answer.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(answer)
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Full(bytes) => hyper::body::SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Stream(_) => hyper::body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The pairs of a query or of a form body, decoded.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

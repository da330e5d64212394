//! Asks AWS for what the functions never ask: one signed request each, where an SDK would be larger than all the rest.

use std::time::Duration;

use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::utf8_percent_encode;
use roxmltree::{Document, Node};
use serde_json::{Map, Value};
use slipway::aws::Aws;
use slipway::aws::sign::{self, Call};
use slipway::error::chain;
use slipway::http::Http;
use slipway_cluster::token::RESERVED;

/// Signing names and versions of the APIs that are asked by the query protocol.
pub(crate) const CLOUDFORMATION: (&str, &str) = ("cloudformation", "2010-05-15");
pub(crate) const STS: (&str, &str) = ("sts", "2011-06-15");

/// Limit of one request.
const LIMIT: Duration = Duration::from_secs(20);
/// Limit of one upload: ten megabytes over a slow line.
const UPLOAD: Duration = Duration::from_mins(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It could not be asked.
    #[error("{0}")]
    Unasked(String),
    /// The service refused.
    #[error("{code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// AWS's code, or `HTTP 404`.
        code: String,
        /// The service's words.
        message: String,
    },
}

impl AskError {
    /// Whether what was asked about does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, code, .. } if *status == 404 || code.contains("NotFound"))
    }
}

/// Sends `request` and reads the answer, of any status.
pub(crate) async fn send(http: &Http, request: Request<Full<Bytes>>) -> Result<http::Response<Bytes>, AskError> {
    send_within(http, request, LIMIT).await
}

async fn send_within(
    http: &Http,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<http::Response<Bytes>, AskError> {
    let late = || AskError::Unasked(format!("no answer within {} s", limit.as_secs()));
    let answer = tokio::time::timeout(limit, http.exchange_bytes(request)).await.map_err(|_| late())?;
    answer.map_err(|error| AskError::Unasked(chain(&error)))
}

/// The text at `key`, or an empty one.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Escapes a part of a path, or a value of a query.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Sends a request to a service whose answers are JSON.
pub(crate) async fn json(aws: &Aws, service: &'static str, path: &str) -> Result<Value, AskError> {
    let call = Call { service, region: None, method: Method::GET, path, headers: &[], body: "" };
    let (_, body) = exchange(aws, call).await?;
    serde_json::from_slice(&body).map_err(|_| AskError::Unasked(format!("{service} answered no JSON")))
}

/// Asks a service of AWS's query protocol for `action`: its result as JSON, and the headers of its answer.
pub(crate) async fn query(
    aws: &Aws,
    (service, version): (&'static str, &str),
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<(Value, HeaderMap), AskError> {
    let given = [("Action", action), ("Version", version)].into_iter().chain(parameters.iter().copied());
    let pairs: Vec<String> = given.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = pairs.join("&");
    let call = Call { service, region: None, method: Method::POST, path: "/", headers: &headers, body: &body };
    let (headers, body) = exchange(aws, call).await?;
    let unreadable = || AskError::Unasked(format!("{service} answered no XML"));
    let text = std::str::from_utf8(&body).map_err(|_| unreadable())?;
    let document = Document::parse(text).map_err(|_| unreadable())?;
    let result = document.root_element().children().find(|node| node.tag_name().name() == format!("{action}Result"));
    Ok((result.map(value).unwrap_or_default(), headers))
}

/// Sends a file to S3, at `path`: /BUCKET/KEY.
pub(crate) async fn put(aws: &Aws, path: &str, headers: &[(&'static str, &str)], body: Bytes) -> Result<(), AskError> {
    let call = Call { service: "s3", region: None, method: Method::PUT, path, headers, body: "" };
    exchange_with(aws, call, body, UPLOAD).await.map(drop)
}

/// Whether S3 has something at `path` that is for the owner in `headers`.
pub(crate) async fn has(aws: &Aws, path: &str, headers: &[(&'static str, &str)]) -> Result<bool, AskError> {
    let call = Call { service: "s3", region: None, method: Method::HEAD, path, headers, body: "" };
    match exchange(aws, call).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn exchange(aws: &Aws, call: Call<'_>) -> Result<(HeaderMap, Bytes), AskError> {
    let body = Bytes::copy_from_slice(call.body.as_bytes());
    exchange_with(aws, call, body, LIMIT).await
}

async fn exchange_with(
    aws: &Aws,
    call: Call<'_>,
    body: Bytes,
    limit: Duration,
) -> Result<(HeaderMap, Bytes), AskError> {
    let request = sign::request_with(aws.config().await, call, body).await;
    let request = request.map_err(|error| AskError::Unasked(chain(&error)))?;
    let (head, body) = send_within(aws.http(), request, limit).await?.into_parts();
    if head.status.is_success() {
        return Ok((head.headers, body));
    }
    let code = head.headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
    Err(refused(head.status.as_u16(), code, &String::from_utf8_lossy(&body)))
}

/// The error in an answer, which is JSON or XML.
fn refused(status: u16, code: Option<&str>, body: &str) -> AskError {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let document = Document::parse(body).ok();
    let find = |keys: &[&str]| {
        let in_json = keys.iter().find_map(|key| json.get(key)?.as_str());
        let mut nodes = document.iter().flat_map(Document::descendants);
        in_json.or_else(|| nodes.find(|node| keys.contains(&node.tag_name().name()))?.text()).map(str::to_owned)
    };
    let code = code.map(str::to_owned).or_else(|| find(&["__type", "Code", "code"])).unwrap_or_default();
    // `com.amazonaws.eks#NotFoundException:http://…`
    let code = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or_default().to_owned();
    let code = if code.is_empty() { format!("HTTP {status}") } else { code };
    AskError::Refused { status, code, message: find(&["message", "Message"]).unwrap_or_default() }
}

/// An element as JSON: a list where all it has are `member`s, an object of its children, or its text.
fn value(node: Node<'_, '_>) -> Value {
    let children: Vec<Node<'_, '_>> = node.children().filter(Node::is_element).collect();
    if children.is_empty() {
        return Value::String(node.text().unwrap_or_default().to_owned());
    }
    if children.iter().all(|child| child.tag_name().name() == "member") {
        return children.into_iter().map(value).collect();
    }
    let fields = children.into_iter().map(|child| (child.tag_name().name().to_owned(), value(child)));
    Value::Object(fields.collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_the_query_protocol_are_read() {
        let text = "<R><Stacks><member><Name>a</Name><Empty/></member></Stacks></R>";
        let document = Document::parse(text).unwrap();
        assert_eq!(value(document.root_element()), json!({"Stacks": [{"Name": "a", "Empty": ""}]}));
    }

    #[test]
    fn errors_are_read_of_either_format() {
        let shown = |code, body| refused(400, code, body).to_string();
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                   <Message>Stack with id x does not exist</Message></Error></ErrorResponse>";
        assert_eq!(shown(None, xml), "ValidationError: Stack with id x does not exist");
        assert_eq!(shown(Some("NotFoundException:http://a/"), r#"{"message":"no"}"#), "NotFoundException: no");
        assert_eq!(shown(None, r#"{"__type":"com.amazonaws#AccessDeniedException"}"#), "AccessDeniedException: ");
        assert_eq!(shown(None, "<html>"), "HTTP 400: ");
        assert!(refused(404, None, "").is_not_found());
    }
}

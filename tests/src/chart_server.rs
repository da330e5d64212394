//! A Helm repository and an OCI registry on one loopback server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_sandbox::http::{Request, Response, Server};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What a registry keeps of `Chart.yaml`.
const CONFIG: &[u8] = b"{\"name\": \"x\"}";

/// A path that is answered as a test wants it.
type Answer = Box<dyn Fn(&Request) -> Response + Send>;

/// What the server has.
#[derive(Default)]
pub struct Content {
    /// Archives by chart and version.
    pub charts: BTreeMap<(String, String), Vec<u8>>,
    /// Answers instead of those of the charts, by path.
    pub answers: BTreeMap<String, Answer>,
    /// Whether the registry asks for a login.
    pub asks_login: bool,
    /// The only header `Authorization` that is taken: over HTTP, and where the registry gives its token, or by the
    /// registry itself where it asks for no other login. Empty where anybody is let in.
    pub authorization: String,
}

/// The server; it stops when dropped.
pub struct ChartServer {
    /// What was asked of it.
    pub server: Server,
    content: Arc<Mutex<Content>>,
}

impl ChartServer {
    /// Starts it on a free port, without charts.
    pub async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let shared = Arc::clone(&content);
        let server = Server::start(
            0,
            Arc::new(move |request| answer(&shared.lock().expect("no test panicked meanwhile"), &request)),
        )
        .await
        .expect("a free port");
        Self { server, content }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.url().trim_start_matches("http://").to_owned()
    }

    /// What the server has, to change it.
    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no test panicked meanwhile")
    }

    /// Publishes a version of the chart `name`, a ConfigMap `page` with the version and a greeting.
    pub fn publish(&self, name: &str, version: &str) {
        self.content().charts.insert((name.to_owned(), version.to_owned()), chart(name, version, ""));
    }

    /// Answers requests of `path` by `answer`.
    pub fn answer(&self, path: &str, answer: impl Fn(&Request) -> Response + Send + 'static) {
        self.content().answers.insert(path.to_owned(), Box::new(answer));
    }

    /// The paths that were asked for since `from`.
    pub fn asked(&self, from: usize) -> Vec<String> {
        self.server.exchanges().into_iter().skip(from).map(|exchange| exchange.request.path).collect()
    }
}

/// The archive of a chart.
pub fn chart(name: &str, version: &str, note: &str) -> Vec<u8> {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {{{{ .Release.Name }}}}-page}}\ndata: {{version: \
         '{version}', greeting: '{{{{ .Values.greeting }}}}', note: '{note}'}}\n"
    );
    pack(name, &[("Chart.yaml", &metadata), ("values.yaml", "greeting: hello\n"), ("templates/map.yaml", &map)])
}

/// The archive of a chart with these files.
pub fn pack(name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, text) in files {
        let mut header = [0; 512];
        let full = format!("{name}/{path}");
        header[..full.len()].copy_from_slice(full.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", text.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(text.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&tar).expect("it fits in memory");
    packer.finish().expect("it fits in memory")
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn answer(content: &Content, request: &Request) -> Response {
    if let Some(answer) = content.answers.get(&request.path) {
        return answer(request);
    }
    let is_let_in =
        content.authorization.is_empty() || request.header("authorization") == Some(&*content.authorization);
    let missing = || Response::new(StatusCode::NOT_FOUND, "");
    let path: Vec<String> = request.segments();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["token"] if !is_let_in => Response::new(StatusCode::UNAUTHORIZED, ""),
        ["token"] => Response::json(StatusCode::OK, &json!({"token": "for-anybody"})),
        ["v2", ..] if content.asks_login && request.header("authorization") != Some("Bearer for-anybody") => {
            let realm = format!("http://{}/token", request.header("host").expect("every request has one"));
            Response::new(StatusCode::UNAUTHORIZED, "")
                .with("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"registry\""))
        }
        ["v2", ..] if !content.asks_login && !is_let_in => {
            Response::new(StatusCode::UNAUTHORIZED, "").with("www-authenticate", "Basic realm=\"charts\"")
        }
        [first, ..] if *first != "v2" && !is_let_in => Response::new(StatusCode::UNAUTHORIZED, ""),
        ["v2", .., chart, "tags", "list"] => tags(content, request, chart),
        ["v2", .., chart, "manifests", tag] => match content.charts.get(&(chart.to_string(), tag.replace('_', "+"))) {
            Some(archive) => {
                let manifest = manifest(archive).to_string();
                let digest = format!("sha256:{}", digest(manifest.as_bytes()));
                Response::new(StatusCode::OK, manifest)
                    .with("content-type", MANIFEST)
                    .with("docker-content-digest", &digest)
            }
            None => missing(),
        },
        ["v2", .., "blobs", wanted] => {
            if *wanted == format!("sha256:{}", digest(CONFIG)) {
                return Response::new(StatusCode::OK, CONFIG);
            }
            let found = content.charts.values().find(|archive| format!("sha256:{}", digest(archive)) == *wanted);
            found.map_or_else(missing, |archive| Response::new(StatusCode::OK, archive.clone()))
        }
        ["index.yaml"] => index(content, request),
        [file] => {
            let found = content.charts.iter().find(|((name, version), _)| format!("{name}-{version}.tgz") == **file);
            found.map_or_else(missing, |(_, archive)| Response::new(StatusCode::OK, archive.clone()))
        }
        _ => missing(),
    }
}

fn manifest(archive: &[u8]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": CONFIG.len(),
            "digest": format!("sha256:{}", digest(CONFIG))},
        "layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "digest": format!("sha256:{}", digest(archive)), "size": archive.len()}]})
}

/// Two tags a page.
fn tags(content: &Content, request: &Request, chart: &str) -> Response {
    let tags: Vec<String> =
        content.charts.keys().filter(|(name, _)| name == chart).map(|(_, version)| version.replace('+', "_")).collect();
    let from = request.query("from").map_or(0, |from| from.parse().expect("it is ours"));
    let page: Vec<&String> = tags.iter().skip(from).take(2).collect();
    let answer = Response::json(StatusCode::OK, &json!({ "name": chart, "tags": page }));
    if from + 2 >= tags.len() {
        return answer;
    }
    answer.with("link", &format!("<{}?from={}>; rel=\"next\"", request.path, from + 2))
}

fn index(content: &Content, request: &Request) -> Response {
    let mut text = "apiVersion: v1\nentries:\n".to_owned();
    let names: std::collections::BTreeSet<&String> = content.charts.keys().map(|(name, _)| name).collect();
    for name in names {
        let _ = writeln!(text, "  {name}:");
        for ((_, version), archive) in content.charts.iter().filter(|((of, _), _)| of == name) {
            let digest = digest(archive);
            let _ = write!(text, "  - name: {name}\n    digest: {digest}\n    urls:\n    - {name}-{version}.tgz\n");
            let _ = writeln!(text, "    version: {version}");
        }
    }
    let etag = format!("\"{}\"", digest(text.as_bytes()));
    let status = if request.header("if-none-match") == Some(&etag) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body = if status == StatusCode::OK { text } else { String::new() };
    Response::new(status, body).with("etag", &etag)
}

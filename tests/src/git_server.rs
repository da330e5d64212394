//! Git's own server (`git http-backend`) on loopback.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use slipway_sandbox::http::{Request, Response, Server};
use tempfile::TempDir;

/// What is answered instead of git's answer.
type Answer = Box<dyn Fn(&Request) -> Option<Response> + Send>;

/// The server; it stops when dropped.
pub struct GitServer {
    /// What was asked of it.
    pub server: Server,
    answer: Arc<Mutex<Option<Answer>>>,
    folder: TempDir,
}

impl GitServer {
    /// Starts it on a free port, without repositories.
    pub async fn start() -> Self {
        let folder = TempDir::with_prefix("slipway-git-").expect("a folder");
        let answer: Arc<Mutex<Option<Answer>>> = Arc::default();
        let (root, shared) = (folder.path().to_owned(), Arc::clone(&answer));
        let handler = move |request: Request| {
            let instead = shared.lock().expect("no test panicked meanwhile");
            instead.as_ref().and_then(|answer| answer(&request)).unwrap_or_else(|| backend(&root, &request))
        };
        Self { server: Server::start(0, Arc::new(handler)).await.expect("a free port"), answer, folder }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.server.url().trim_start_matches("http://").to_owned()
    }

    /// Answers what `answer` has something for instead of git.
    pub fn answer(&self, answer: impl Fn(&Request) -> Option<Response> + Send + 'static) {
        *self.answer.lock().expect("no test panicked meanwhile") = Some(Box::new(answer));
    }

    /// The bare repository at `path` of the server, `TEAM/NAME.git`.
    pub fn create(&self, path: &str) -> GitRepository {
        let (bare, work) = (self.folder.path().join(path), TempDir::with_prefix("slipway-work-").expect("a folder"));
        std::fs::create_dir_all(&bare).expect("a folder");
        let repository = GitRepository { bare, work };
        repository.git(&["init", "-q", "-b", "main"]);
        let bare = repository.bare.to_str().expect("a plain path").to_owned();
        repository.git(&["init", "-q", "--bare", "-b", "main", &bare]);
        repository.git(&["config", "user.name", "Dev"]);
        repository.git(&["config", "user.email", "dev@example.com"]);
        repository.git(&["remote", "add", "origin", &bare]);
        repository
    }

    /// The paths that were asked for since request number `from`.
    pub fn asked(&self, from: usize) -> Vec<String> {
        self.server.exchanges().into_iter().skip(from).map(|exchange| exchange.request.path).collect()
    }
}

/// A repository of the server, with a working copy.
pub struct GitRepository {
    bare: PathBuf,
    work: TempDir,
}

impl GitRepository {
    /// Runs git in the working copy; what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        let output = git.args(arguments).current_dir(self.work.path()).output().expect("git is installed");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The working copy.
    pub fn folder(&self) -> PathBuf {
        self.work.path().to_owned()
    }

    /// Commits `files` to `main` and pushes; the commit.
    pub fn push(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.work.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("it is written");
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "Change"]);
        self.git(&["push", "-q", "--follow-tags", "origin", "HEAD:main"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Runs git's CGI program for `request`.
fn backend(root: &std::path::Path, request: &Request) -> Response {
    let query: Vec<String> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut git = Command::new("git");
    git.arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", query.join("&"))
        .env("REQUEST_METHOD", request.method.as_str())
        .env("CONTENT_TYPE", request.header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("GIT_PROTOCOL", request.header("git-protocol").unwrap_or_default());
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut git = git.spawn().expect("git is installed");
    git.stdin.take().expect("it is piped").write_all(&request.body).expect("git reads");
    let output = git.wait_with_output().expect("git ends").stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let (head, body) = (String::from_utf8_lossy(&output[..end]).into_owned(), output[end + 4..].to_vec());
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let status = header("Status").and_then(|status| status.get(..3)?.parse().ok()).unwrap_or(StatusCode::OK);
    let response = Response::new(status, body);
    match header("Content-Type") {
        Some(kind) => response.with("content-type", kind),
        None => response,
    }
}

//! The little of AWS that the functions call: Secrets Manager, one SQS FIFO queue, EventBridge Scheduler, ECR, EKS. The
//! queue hands its messages out as Lambda's event source would, a push of an image gives the event that EventBridge
//! would send.
//!
//! Signatures are not checked: the tests on real parts do that with moto.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::faults::Failures;
use crate::http::{Exchange, Request, Response, Server};
use crate::{Clock, lock};

/// The account that everything belongs to.
pub const ACCOUNT: &str = "123456789012";
/// Its region.
pub const REGION: &str = "eu-west-1";

/// A running stand-in; it stops when dropped.
pub struct Aws {
    state: Arc<Mutex<State>>,
    clock: Clock,
    failures: Arc<Failures>,
    server: Server,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Secret>,
    messages: VecDeque<Message>,
    deduplicated: BTreeSet<String>,
    /// What schedules send to the queue, by their time and name.
    schedules: BTreeMap<(Timestamp, String), Value>,
    sent: u64,
    /// Repository, tag and time in seconds.
    images: Vec<(String, String, i64)>,
    /// What images are built for, by digest; where nothing is said, `linux/amd64`.
    platforms: BTreeMap<String, Vec<String>>,
    /// Endpoints and authorities of EKS clusters by name.
    clusters: BTreeMap<String, (String, String)>,
}

/// The versions of a secret, each with its time.
struct Secret {
    current: (String, Timestamp),
    previous: Option<(String, Timestamp)>,
}

struct Message {
    id: String,
    group: String,
    body: String,
}

impl Aws {
    /// Starts it with these secrets, inside the current Tokio runtime. Fails when the port can't be bound.
    pub async fn start(port: u16, clock: Clock, secrets: BTreeMap<String, String>) -> io::Result<Self> {
        let now = clock();
        let secrets = secrets.into_iter().map(|(name, text)| (name, Secret { current: (text, now), previous: None }));
        let state = Arc::new(Mutex::new(State { secrets: secrets.collect(), ..State::default() }));
        let failures = Arc::new(Failures::default());
        let (handler, faults) = (Arc::clone(&state), Arc::clone(&failures));
        let respond = move |request: Request| faults.take(&request).unwrap_or_else(|| answer(&handler, &request));
        let server = Server::start(port, Arc::new(respond)).await?;
        Ok(Self { state, clock, failures, server })
    }

    /// What `AWS_ENDPOINT_URL` takes.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What `SLIPWAY_QUEUE_URL` takes.
    pub fn queue_url(&self) -> String {
        format!("{}/{ACCOUNT}/pushes.fifo", self.url())
    }

    /// Changes a secret; what it was becomes its previous version.
    pub fn set_secret(&self, name: &str, text: &str) {
        self.set_secret_at(name, text, (self.clock)());
    }

    /// Changes a secret as of another time.
    pub fn set_secret_at(&self, name: &str, text: &str, at: Timestamp) {
        let mut state = lock(&self.state);
        let previous = state.secrets.remove(name).map(|secret| secret.current);
        state.secrets.insert(name.to_owned(), Secret { current: (text.to_owned(), at), previous });
    }

    /// Makes an EKS cluster known, or moves it: by plain HTTP, which has no authority.
    pub fn set_cluster(&self, name: &str, endpoint: &str) {
        self.set_cluster_with(name, endpoint, "");
    }

    /// Makes an EKS cluster known whose certificate is of `authority` (base64 of PEM).
    pub fn set_cluster_with(&self, name: &str, endpoint: &str, authority: &str) {
        lock(&self.state).clusters.insert(name.to_owned(), (endpoint.to_owned(), authority.to_owned()));
    }

    /// Takes the next message as the event that Lambda gives to the queue's function; `None` where the queue is empty.
    pub fn next_event(&self) -> Option<Value> {
        let message = lock(&self.state).messages.pop_front()?;
        Some(json!({ "Records": [{
            "messageId": message.id,
            "receiptHandle": message.id,
            "body": message.body,
            "attributes": { "MessageGroupId": message.group, "ApproximateReceiveCount": "1" },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:pushes.fifo"),
            "awsRegion": REGION,
        }] }))
    }

    /// Lets the next schedule fire, whatever the time is; gives the time that it was set for, `None` where there is
    /// none.
    pub fn next_schedule(&self) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        let ((at, _), input) = state.schedules.pop_first()?;
        state.send(&input).ok()?;
        Some(at)
    }

    /// How many messages wait in the queue.
    pub fn waiting(&self) -> usize {
        lock(&self.state).messages.len()
    }

    /// Pushes an image; gives the event of EventBridge.
    pub fn push_image(&self, repository: &str, tag: &str) -> Value {
        let now = (self.clock)();
        lock(&self.state).images.push((repository.to_owned(), tag.to_owned(), now.as_second()));
        json!({
            "version": "0",
            "id": "13cde686-328b-6117-af20-0e5566167482",
            "detail-type": "ECR Image Action",
            "source": "aws.ecr",
            "account": ACCOUNT,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": REGION,
            "resources": [],
            "detail": {
                "result": "SUCCESS",
                "repository-name": repository,
                "image-digest": digest(repository, tag),
                "action-type": "PUSH",
                "image-tag": tag,
            },
        })
    }

    /// Pushes an image that is built for these platforms, `OS/ARCHITECTURE[/VARIANT]`: for several by an index.
    pub fn push_image_for(&self, repository: &str, tag: &str, platforms: &[&str]) -> Value {
        let built = platforms.iter().map(|platform| (*platform).to_owned()).collect();
        lock(&self.state).platforms.insert(digest(repository, tag), built);
        self.push_image(repository, tag)
    }

    /// The registry's host.
    pub fn registry() -> String {
        format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com")
    }

    /// Requests that fail, to be armed.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Every request so far with its answer.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.server.exchanges()
    }
}

fn digest(repository: &str, tag: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(format!("{repository}:{tag}"))))
}

fn answer(state: &Mutex<State>, request: &Request) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.segments().iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["clusters"] => {
            let names: Vec<String> = lock(state).clusters.keys().cloned().collect();
            return Response::json(StatusCode::OK, &json!({ "clusters": names }));
        }
        ["clusters", name] => return lock(state).cluster(name),
        ["clusters", _, "access-entries", arn, rest @ ..] => return access_entry(arn, rest),
        ["schedules", name] => return lock(state).schedule(name, &body),
        ["layers", digest] => {
            let platforms = lock(state).built_for(digest);
            return Response::json(StatusCode::OK, &platform(platforms.first().map_or("", String::as_str)));
        }
        _ => {}
    }
    if String::from_utf8_lossy(&request.body).contains("Action=AssumeRole") {
        return Response::new(StatusCode::OK, ASSUMED).with("content-type", "text/xml");
    }
    let action = request.header("x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default();
    let mut state = lock(state);
    let result = match action {
        "GetSecretValue" => state.secret(&body),
        "SendMessage" => state.send(&body),
        "DescribeImages" | "BatchGetImage" if !may_read(request, &body) => {
            let message = format!("User is not authorized to perform: ecr:{action}");
            Err(("AccessDeniedException", message))
        }
        "DescribeImages" => state.describe(&body),
        "BatchGetImage" => Ok(state.manifests(&body)),
        "GetDownloadUrlForLayer" => {
            let layer = text(&body, "layerDigest");
            let host = request.header("host").unwrap_or_default();
            Ok(json!({ "downloadUrl": format!("http://{host}/layers/{layer}"), "layerDigest": layer }))
        }
        // Messages are handed out once, whatever their visibility.
        "ChangeMessageVisibility" => Ok(json!({})),
        _ => Err(("UnknownOperationException", format!("{action} is not part of the sandbox"))),
    };
    match result {
        Ok(value) => Response::json(StatusCode::OK, &value),
        Err((code, message)) => Response::json(StatusCode::BAD_REQUEST, &json!({ "__type": code, "message": message })),
    }
}

/// Every role has an access entry that makes it an administrator.
fn access_entry(arn: &str, rest: &[&str]) -> Response {
    let value = if rest.is_empty() {
        json!({ "accessEntry": { "principalArn": arn, "kubernetesGroups": [], "type": "STANDARD" } })
    } else {
        json!({ "associatedAccessPolicies": [{
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            "accessScope": { "type": "cluster", "namespaces": [] },
        }] })
    };
    Response::json(StatusCode::OK, &value)
}

type Answer = Result<Value, (&'static str, String)>;

/// The answer of STS: credentials by which other accounts are read.
const ASSUMED: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
    <AssumedRoleUser><AssumedRoleId>AROA:slipway</AssumedRoleId><Arn>arn:aws:sts::210987654321:assumed-role/read/s\
    </Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
    <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>";

/// Whether the credentials of the request are those of the account that it asks for.
fn may_read(request: &Request, body: &Value) -> bool {
    let is_assumed = request.header("authorization").is_some_and(|header| header.contains("Credential=ASIAASSUMED/"));
    matches!(text(body, "registryId"), "" | ACCOUNT) || is_assumed
}

/// A platform as indexes and configurations have it.
fn platform(text: &str) -> Value {
    let mut parts = text.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match parts.next() {
        Some(variant) => json!({ "os": os, "architecture": architecture, "variant": variant }),
        None => json!({ "os": os, "architecture": architecture }),
    }
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl State {
    fn cluster(&self, name: &str) -> Response {
        match self.clusters.get(name) {
            Some((endpoint, authority)) => Response::json(
                StatusCode::OK,
                &json!({ "cluster": {
                    "name": name, "endpoint": endpoint, "certificateAuthority": { "data": authority },
                    "status": "ACTIVE",
                    "accessConfig": { "authenticationMode": "API_AND_CONFIG_MAP" },
                    "resourcesVpcConfig": { "endpointPublicAccess": true },
                } }),
            ),
            None => Response::json(
                StatusCode::NOT_FOUND,
                &json!({ "message": format!("No cluster found for name: {name}.") }),
            ),
        }
    }

    fn schedule(&mut self, name: &str, body: &Value) -> Response {
        let at = text(body, "ScheduleExpression").strip_prefix("at(").and_then(|at| at.strip_suffix(')'));
        let at = at.and_then(|at| format!("{at}Z").parse().ok());
        let input =
            body.pointer("/Target/Input").and_then(Value::as_str).and_then(|input| serde_json::from_str(input).ok());
        let (Some(at), Some(input)) = (at, input) else {
            return Response::json(StatusCode::BAD_REQUEST, &json!({ "Message": "Invalid Schedule Expression." }));
        };
        if self.schedules.keys().any(|(_, other)| other == name) {
            return Response::json(
                StatusCode::CONFLICT,
                &json!({ "Message": format!("Schedule {name} already exists.") }),
            );
        }
        self.schedules.insert((at, name.to_owned()), input);
        let arn = format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}");
        Response::json(StatusCode::OK, &json!({ "ScheduleArn": arn }))
    }

    fn secret(&self, body: &Value) -> Answer {
        let name = text(body, "SecretId");
        let missing = || ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.".to_owned());
        let secret = self.secrets.get(name).ok_or_else(missing)?;
        let stage = body.get("VersionStage").and_then(Value::as_str).unwrap_or("AWSCURRENT");
        let (text, created) = match stage {
            "AWSCURRENT" => &secret.current,
            "AWSPREVIOUS" => secret.previous.as_ref().ok_or_else(missing)?,
            _ => return Err(missing()),
        };
        Ok(json!({
            "ARN": format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-abcdef"),
            "Name": name,
            "VersionId": "00000000-0000-0000-0000-000000000001",
            "SecretString": text,
            "CreatedDate": created.as_second(),
            "VersionStages": [stage],
        }))
    }

    /// A message whose deduplication id was seen before is accepted and dropped, as SQS does for five minutes.
    fn send(&mut self, body: &Value) -> Answer {
        let (group, duplicate) = (text(body, "MessageGroupId"), text(body, "MessageDeduplicationId"));
        if group.is_empty() || group.len() > 128 || duplicate.is_empty() || duplicate.len() > 128 {
            let message = "The request must contain the parameters MessageGroupId and MessageDeduplicationId.";
            return Err(("MissingParameter", message.to_owned()));
        }
        self.sent += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", self.sent);
        if self.deduplicated.insert(duplicate.to_owned()) {
            let message =
                Message { id: id.clone(), group: group.to_owned(), body: text(body, "MessageBody").to_owned() };
            self.messages.push_back(message);
        }
        Ok(json!({ "MessageId": id, "SequenceNumber": format!("{:020}", self.sent) }))
    }

    fn built_for(&self, digest: &str) -> Vec<String> {
        self.platforms.get(digest).cloned().unwrap_or_else(|| vec!["linux/amd64".to_owned()])
    }

    /// `BatchGetImage`: the configuration of a single image has the image's own digest here.
    fn manifests(&self, body: &Value) -> Value {
        let ids = body.get("imageIds").and_then(Value::as_array).into_iter().flatten();
        let image = |id: &Value| {
            let digest = text(id, "imageDigest");
            let platforms = self.built_for(digest);
            let manifest = match platforms.as_slice() {
                [_] => json!({ "schemaVersion": 2, "config": { "digest": digest } }),
                several => {
                    let attestation = json!({ "platform": { "os": "unknown", "architecture": "unknown" } });
                    let listed = several.iter().map(|one| json!({ "digest": digest, "platform": platform(one) }));
                    json!({ "schemaVersion": 2, "manifests": listed.chain([attestation]).collect::<Vec<_>>() })
                }
            };
            json!({ "imageId": id, "imageManifest": manifest.to_string() })
        };
        json!({ "images": ids.map(image).collect::<Vec<_>>() })
    }

    fn describe(&self, body: &Value) -> Answer {
        let repository = text(body, "repositoryName");
        let of: Vec<_> = self.images.iter().filter(|(name, ..)| name == repository).collect();
        if of.is_empty() {
            return Err((
                "RepositoryNotFoundException",
                format!("The repository with name '{repository}' does not exist"),
            ));
        }
        let details: Vec<Value> = of
            .into_iter()
            .map(|(name, tag, at)| {
                json!({
                    "registryId": ACCOUNT,
                    "repositoryName": name,
                    "imageDigest": digest(name, tag),
                    "imageTags": [tag],
                    "imagePushedAt": at,
                })
            })
            .collect();
        Ok(json!({ "imageDetails": details }))
    }
}

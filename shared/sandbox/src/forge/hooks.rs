//! Webhooks as their owners see them, and a GitHub App as it sees itself.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::rest::{Answer, Refusal};
use super::{Access, State, guid, shape};
use crate::http::{Request, Response};
use crate::lock;

/// A webhook of a repository, or of the App (whose events are always `push`).
#[derive(Debug, Clone)]
pub struct Hook {
    /// Where it is sent.
    pub url: String,
    /// What is sent.
    pub events: Vec<String>,
    /// Status of each delivery's answer, the latest first.
    pub deliveries: Vec<u16>,
}

/// The owner of the App's hook.
pub(super) const APP: &str = "";

/// Answers what is below `/app`, `None` where it is nothing of this.
pub(super) fn app(state: &State, access: Access, request: &Request, rest: &[&str]) -> Option<Answer> {
    if access != Access::App {
        let text = "A JSON web token could not be decoded";
        return Some(Err(Refusal::Status(StatusCode::UNAUTHORIZED, text.to_owned())));
    }
    let hook = || lock(&state.hooks).get(APP).and_then(|hooks| hooks.first().cloned()).ok_or(Refusal::NotFound);
    Some(match (&request.method, rest) {
        (&Method::GET, []) => Ok(ok(&about(state))),
        (&Method::GET, ["hook", "config"]) => hook().map(|hook| ok(&config(&hook))),
        (&Method::PATCH, ["hook", "config"]) => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let url = body.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            let hook = Hook { url, events: vec!["push".to_owned()], deliveries: Vec::new() };
            let answer = ok(&config(&hook));
            lock(&state.hooks).insert(APP.to_owned(), vec![hook]);
            Ok(answer)
        }
        (&Method::GET, ["hook", "deliveries"]) => hook().map(|hook| ok(&deliveries(state, &hook))),
        _ => return None,
    })
}

/// Answers the code of a manifest with the App that GitHub has made of it.
pub(super) fn created(state: &State, code: &str) -> Answer {
    if code != "sandbox-code" {
        return Err(Refusal::NotFound);
    }
    let mut app = about(state);
    if let Some(app) = app.as_object_mut() {
        app.insert("client_secret".to_owned(), json!("sandbox-client-secret"));
        app.insert("webhook_secret".to_owned(), json!("sandbox-webhook-secret"));
        app.insert("pem".to_owned(), json!(state.options.app_key));
    }
    Ok(Response::json(StatusCode::CREATED, &app))
}

/// Answers what is below a repository's `/hooks`.
pub(super) fn of_repository(state: &State, full: &str, request: &Request, rest: &[&str]) -> Answer {
    let hooks = lock(&state.hooks).get(full).cloned().unwrap_or_default();
    match (&request.method, rest) {
        (&Method::GET, []) => {
            let listed = hooks.iter().enumerate().map(|(at, hook)| shown(state, full, at, hook));
            Ok(ok(&Value::Array(listed.collect())))
        }
        (&Method::GET, [number, "deliveries"]) => {
            let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let hook = at.and_then(|at| hooks.get(at)).ok_or(Refusal::NotFound)?;
            Ok(ok(&deliveries(state, hook)))
        }
        _ => Err(Refusal::NotFound),
    }
}

fn ok(value: &Value) -> Response {
    Response::json(StatusCode::OK, value)
}

fn about(state: &State) -> Value {
    let time = shape::time(state.now());
    json!({
        "id": state.app_id(), "slug": "slipway", "node_id": shape::node_id("A", "slipway"), "client_id": "Iv1.sandbox",
        "owner": shape::user(state.base(), "acme"), "name": "Slipway", "description": "",
        "external_url": "https://example.com", "html_url": "https://github.com/apps/slipway",
        "created_at": time, "updated_at": time, "events": ["push"], "installations_count": 1,
        "permissions": {"contents": "write", "metadata": "read", "statuses": "write"},
    })
}

fn config(hook: &Hook) -> Value {
    json!({"url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********"})
}

fn shown(state: &State, full: &str, at: usize, hook: &Hook) -> Value {
    let number = at + 1;
    let api = format!("{}/repos/{full}/hooks/{number}", state.base());
    let time = shape::time(state.now());
    let status = hook.deliveries.first();
    json!({
        "type": "Repository", "id": number, "name": "web", "active": true, "events": hook.events,
        "config": config(hook), "updated_at": time, "created_at": time, "url": api, "test_url": format!("{api}/test"),
        "ping_url": format!("{api}/pings"), "deliveries_url": format!("{api}/deliveries"),
        "last_response": {"code": status, "status": status.map_or("unused", |_| "active"), "message": null},
    })
}

fn deliveries(state: &State, hook: &Hook) -> Value {
    let delivery = |(at, status): (usize, &u16)| {
        json!({
            "id": at + 1, "guid": guid(&format!("{}{at}", hook.url)), "delivered_at": shape::time(state.now()),
            "redelivery": false, "duration": 0.2, "status": if *status < 300 { "OK" } else { "Invalid HTTP Response" },
            "status_code": status, "event": "push", "action": null, "installation_id": null, "repository_id": null,
        })
    };
    hook.deliveries.iter().enumerate().map(delivery).collect()
}

//! The schedule that wakes `drift-check`: all applications, or the one that its input names.

use serde_json::Value;

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Every application.
    All,
    /// The application of this name.
    App(String),
    /// Nothing, and why.
    Ignored(&'static str),
}

/// Reads the event of EventBridge Scheduler (`Scheduled Event` from `aws.scheduler` or `aws.events`), or a direct
/// invocation `{"app": NAME}` or `{}`.
pub fn read(event: &Value) -> Trigger {
    let text = |key| event.get(key).and_then(Value::as_str);
    match (text("app"), text("detail-type")) {
        (Some(app), _) => Trigger::App(app.to_owned()),
        (None, Some("Scheduled Event")) => Trigger::All,
        (None, None) if event.as_object().is_some_and(serde_json::Map::is_empty) => Trigger::All,
        _ => Trigger::Ignored("neither a schedule nor `{\"app\": NAME}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_and_direct_calls_are_told_apart() {
        assert_eq!(read(&json!({"detail-type": "Scheduled Event", "source": "aws.scheduler"})), Trigger::All);
        assert_eq!(read(&json!({})), Trigger::All);
        assert_eq!(read(&json!({"app": "web"})), Trigger::App("web".to_owned()));
        assert!(matches!(read(&json!({"detail-type": "ECR Image Action"})), Trigger::Ignored(_)));
        assert!(matches!(read(&json!([1])), Trigger::Ignored(_)));
    }
}

//! Parses the schedule event of `drift-check`: all applications, or the one that its input names.

use serde_json::Value;

/// What an event triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleTrigger {
    /// Every application.
    All,
    /// The application of this name.
    App(String),
    /// Nothing, with the reason.
    Ignored(&'static str),
}

/// Parses the event of EventBridge Scheduler (`Scheduled Event` from `aws.scheduler` or `aws.events`), or a direct
/// invocation `{"app": NAME}` or `{}`.
pub fn read(event: &Value) -> ScheduleTrigger {
    let text = |key| event.get(key).and_then(Value::as_str);
    match (text("app"), text("detail-type")) {
        (Some(app), _) => ScheduleTrigger::App(app.to_owned()),
        (None, Some("Scheduled Event")) => ScheduleTrigger::All,
        (None, None) if event.as_object().is_some_and(serde_json::Map::is_empty) => ScheduleTrigger::All,
        _ => ScheduleTrigger::Ignored("neither a schedule nor `{\"app\": NAME}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_and_direct_calls_are_told_apart() {
        assert_eq!(read(&json!({"detail-type": "Scheduled Event", "source": "aws.scheduler"})), ScheduleTrigger::All);
        assert_eq!(read(&json!({})), ScheduleTrigger::All);
        assert_eq!(read(&json!({"app": "web"})), ScheduleTrigger::App("web".to_owned()));
        assert!(matches!(read(&json!({"detail-type": "ECR Image Action"})), ScheduleTrigger::Ignored(_)));
        assert!(matches!(read(&json!([1])), ScheduleTrigger::Ignored(_)));
    }
}

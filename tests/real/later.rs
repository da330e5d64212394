use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::event::queue::{Message, ResumeMessage};
use slipway::event::scheduler;
use slipway_tests::Moto;

/// What a sync leaves for later is a schedule that fires once, at its time, into its application's group.
#[tokio::test]
async fn the_rest_of_a_sync_is_scheduled_once() {
    let Some(moto) = Moto::start().await else { return };
    let aws = Aws::at(&moto.endpoint, Moto::REGION).await;
    let (role, queue) =
        ("arn:aws:iam::123456789012:role/resume", "https://sqs.eu-central-1.amazonaws.com/123456789012/pushes.fifo");
    let rest = ResumeMessage { app: "shop".to_owned(), operation: "abc-1".to_owned(), attempt: 3 };
    let message = Message::from(rest.clone());
    let at: Timestamp = "2031-02-03T04:05:06.7Z".parse().expect("a time");
    for _ in 0..2 {
        scheduler::send(&aws, role, queue, &message, at).await.expect("scheduled, or scheduled already");
    }
    let list: Value = serde_json::from_str(&moto.aws(&["scheduler", "list-schedules"])).expect("JSON");
    assert_eq!(list["Schedules"].as_array().map(Vec::len), Some(1), "{list}");
    let name = scheduler::name(queue, &message);
    let found: Value = serde_json::from_str(&moto.aws(&["scheduler", "get-schedule", "--name", &name])).expect("JSON");
    assert_eq!(found["ScheduleExpression"], "at(2031-02-03T04:05:06)");
    assert_eq!(found["ActionAfterCompletion"], "DELETE");
    assert_eq!(found["FlexibleTimeWindow"], json!({"Mode": "OFF"}));
    assert_eq!(found["Target"]["Arn"], "arn:aws:scheduler:::aws-sdk:sqs:sendMessage");
    assert_eq!(found["Target"]["RoleArn"], role);
    let input: Value = serde_json::from_str(found["Target"]["Input"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&input["QueueUrl"], &input["MessageGroupId"]), (&json!(queue), &json!(rest.group())));
    assert_eq!(input["MessageDeduplicationId"], rest.deduplication());
    let body: ResumeMessage = serde_json::from_str(input["MessageBody"].as_str().expect("a text")).expect("a message");
    assert_eq!(body, rest);
    let next = ResumeMessage { attempt: 4, ..rest };
    assert_ne!(scheduler::name(queue, &next.into()), name);
    assert!(name.len() <= 64, "{name}");
}

//! REST: application commands, registered, changed and refused as Discord does.

use serde_json::{Value, json};
use twilight_model::application::command::CommandType;
use twilight_model::id::Id;

use crate::client::{call, options, start, twilight};

const COMMANDS: &str = "/api/v10/applications/1000000000000000000/commands";

fn fib() -> Value {
    json!({ "name": "fib", "description": "A number of Fibonacci's.", "options": [
        { "type": 4, "name": "n", "description": "Which one.", "required": true, "min_value": 0, "max_value": 90 },
    ] })
}

#[tokio::test]
async fn twilight_registers_reads_and_removes_commands_in_both_scopes() {
    let simulator = start(options()).await;
    let rest = twilight(&simulator);
    let application = rest.current_user_application().await.unwrap().model().await.unwrap().id;
    let rest = rest.interaction(application);
    let guild = Id::new(simulator.control().world.guilds()[0].0);

    let created = rest.create_global_command().chat_input("ping", "Pings.").await.unwrap();
    let created = created.model().await.unwrap();
    assert_eq!((created.kind, created.application_id), (CommandType::ChatInput, Some(application)));
    let menu = rest.create_guild_command(guild).user("High Five").await.unwrap().model().await.unwrap();
    assert_eq!((menu.guild_id, menu.description.as_str()), (Some(guild), ""));

    let read = rest.global_command(created.id.unwrap()).await.unwrap().model().await.unwrap();
    assert_eq!(read, created);
    let listed = rest.guild_commands(guild).await.unwrap().model().await.unwrap();
    assert_eq!(listed.len(), 1);
    let set = rest.set_global_commands(std::slice::from_ref(&created)).await.unwrap().model().await.unwrap();
    assert_eq!((set.len(), set[0].id), (1, created.id));
    rest.update_global_command(created.id.unwrap()).description("Pongs.").await.unwrap();
    rest.delete_guild_command(guild, menu.id.unwrap()).await.unwrap();
    assert!(rest.guild_commands(guild).await.unwrap().model().await.unwrap().is_empty());
    let listed = rest.global_commands().await.unwrap().model().await.unwrap();
    assert_eq!(listed[0].description, "Pongs.");
}

#[tokio::test]
async fn registering_a_name_again_changes_the_command_and_says_200() {
    let simulator = start(options()).await;
    let (status, first) = call(&simulator, "POST", COMMANDS, Some(fib())).await;
    assert_eq!(status, 201);
    let (status, again) = call(&simulator, "POST", COMMANDS, Some(fib())).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    assert_ne!(again["version"], first["version"]);
    let one = format!("{COMMANDS}/{}", first["id"].as_str().unwrap());
    assert_eq!(call(&simulator, "DELETE", &one, None).await.0, 204);
    let (status, answer) = call(&simulator, "GET", &one, None).await;
    assert_eq!((status, &answer["code"]), (404, &json!(10063)));
}

#[tokio::test]
async fn translations_are_listed_where_they_are_asked_for() {
    let simulator = start(options()).await;
    let mut command = fib();
    command["name_localizations"] = json!({ "de": "fibonacci" });
    call(&simulator, "PUT", COMMANDS, Some(json!([command]))).await;
    let list = async |query: &str| call(&simulator, "GET", &format!("{COMMANDS}{query}"), None).await.1;
    assert_eq!(list("?with_localizations=true").await[0]["name_localizations"]["de"], "fibonacci");
    assert_eq!(list("").await[0].get("name_localizations"), None);
}

#[tokio::test]
async fn what_is_wrong_with_a_list_is_told_at_its_place_and_nothing_is_changed() {
    let simulator = start(options()).await;
    call(&simulator, "PUT", COMMANDS, Some(json!([fib()]))).await;
    let mut wrong = fib();
    wrong["options"][0]["name"] = json!("N");
    wrong["options"][0]["type"] = json!(99);
    let (status, answer) = call(&simulator, "PUT", COMMANDS, Some(json!([fib(), wrong]))).await;
    assert_eq!(
        (status, &answer["code"], &answer["message"]),
        (400, &json!(50035), &json!("Invalid Form Body"))
    );
    let option = &answer["errors"]["1"]["options"]["0"];
    assert_eq!(option["name"]["_errors"][0]["code"], "APPLICATION_COMMAND_INVALID_NAME");
    assert_eq!(option["type"]["_errors"][0]["code"], "BASE_TYPE_CHOICES");
    assert_eq!(answer["errors"]["1"]["_errors"][0]["code"], "APPLICATION_COMMANDS_DUPLICATE_NAME");
    assert_eq!(call(&simulator, "GET", COMMANDS, None).await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_101st_command_and_bodies_of_another_kind_are_refused() {
    let simulator = start(options()).await;
    let many: Vec<_> = (0..101).map(|n| json!({ "name": format!("c{n}"), "description": "d" })).collect();
    let table = [
        ("PUT", json!(many), 30032),
        ("PUT", json!({}), 50035),
        ("PUT", json!(vec![json!({}); 131]), 50035),
        ("POST", json!([]), 50109),
        ("PATCH", json!({}), 0),
    ];
    for (method, body, code) in table {
        let (status, answer) = call(&simulator, method, COMMANDS, Some(body)).await;
        assert_eq!(answer["code"], code, "{method}: {answer}");
        assert_eq!(status, if method == "PATCH" { 405 } else { 400 });
    }
}

#[tokio::test]
async fn a_bot_touches_no_other_application_and_no_guild_that_is_not_there() {
    let simulator = start(options()).await;
    let others = "/api/v10/applications/100/commands";
    let (status, answer) = call(&simulator, "PUT", others, Some(json!([]))).await;
    assert_eq!((status, &answer["code"]), (403, &json!(20012)));
    let nowhere = "/api/v10/applications/1000000000000000000/guilds/7/commands";
    let (status, answer) = call(&simulator, "PUT", nowhere, Some(json!([]))).await;
    assert_eq!((status, &answer["code"]), (404, &json!(10004)));
}

#[tokio::test]
async fn a_rename_cannot_take_anothers_name() {
    let simulator = start(options()).await;
    let list = json!([{ "name": "a", "description": "d" }, { "name": "b", "description": "d" }]);
    let (_, commands) = call(&simulator, "PUT", COMMANDS, Some(list)).await;
    let one = format!("{COMMANDS}/{}", commands[0]["id"].as_str().unwrap());
    let (status, answer) = call(&simulator, "PATCH", &one, Some(json!({ "name": "b" }))).await;
    assert_eq!((status, &answer["code"]), (400, &json!(50035)));
    let (status, changed) = call(&simulator, "PATCH", &one, Some(json!({ "name": "c" }))).await;
    assert_eq!((status, &changed["name"], &changed["description"]), (200, &json!("c"), &json!("d")));
}

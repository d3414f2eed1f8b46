//! The simulator's page as a person sees it, in a real browser.
//!
//! From: simulators in this process, bots that are bare sockets, and headless Chromium. For: everyone who looks at the page
//! instead of the ledger. Each test ends by asking whether the browser complained, or asked anybody but the simulator.
//! Deliberately absent: how it looks; that is for eyes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's own functions fail like the test")]

mod bot;
mod browser;
mod chromium;
mod devtools;

use bot::Bot;
use browser::Browser;
use discord_sim::{DropConnections, How, NewMessage, Options, SettingsChange, ShardOf, Simulator};
use serde_json::json;

/// Many buckets and no skew, so that nobody waits for anything but the page.
fn options() -> Options {
    Options { guilds: 160, shards: Some(16), max_concurrency: 16, skew_ms: 0, ..Options::default() }
}

async fn start(options: Options) -> (Simulator, String) {
    let simulator = Simulator::start(options).await.unwrap();
    let url = format!("http://{}/", simulator.addr());
    (simulator, url)
}

const SIXTEEN: &str = "document.querySelectorAll('#grids button.box').length === 16";

#[tokio::test]
async fn a_dropped_shard_and_its_return_show_without_loading_the_page_again() {
    let (simulator, url) = start(options()).await;
    let mut bots = Vec::new();
    for shard in 0..15 {
        bots.push(Bot::ready(&simulator, shard, 16).await);
    }
    let browser = Browser::start().await;
    let page = browser.open(&url).await;
    page.until(SIXTEEN).await;
    page.until("window.mark = document.getElementById('verdict').textContent.includes('15 of 16')").await;
    assert_eq!(page.value("document.querySelectorAll('#grids .box.c').length").await, 15);
    assert_eq!(
        page.value("document.querySelector('#grids .box.n').ariaLabel").await,
        "shard 15: never ready"
    );
    page.until_text("#budgets p", "985 of 1,000 left, all again in 23 h").await;

    let shard = ShardOf { id: 5, total: 16 };
    simulator.control().drop_connection(DropConnections::of(shard, How::Tcp)).unwrap();
    let state = "document.querySelectorAll('#grids .box')[5].ariaLabel";
    page.until(&format!("{state} === 'shard 5: without connection'")).await;
    page.until_text(".away", "Without connection: 5").await;

    page.value("document.querySelectorAll('#grids .box')[5].click()").await;
    page.until_text("#shard-title", "Shard 5 of 16").await;
    page.until_text("[data-table=shard-sessions] td", bots[5].session()).await;

    bots[5].resume(&simulator).await;
    page.until(&format!("{state} === 'shard 5: connected'")).await;
    page.until_text("#resumes-facts", "1 worked, 0 failed.").await;
    page.until_text("[data-table=pauses] td", "5 of 16").await;
    assert_eq!(page.value("window.mark").await, true, "it is still the page of the beginning");
    page.complained_about_nothing();
    page.asked_only(&url);
}

#[tokio::test]
async fn what_was_broken_stands_there_in_words_and_what_bots_sent_is_never_markup() {
    // Ten times as slow: an IDENTIFY comes too early however long the browser takes to start.
    let (simulator, url) = start(Options { time_factor: 0.1, ..options() }).await;
    let _kept = [Bot::ready(&simulator, 0, 16).await, Bot::ready(&simulator, 1, 8).await];
    let browser = Browser::start().await;
    let page = browser.open(&url).await;
    page.until("document.querySelectorAll('#grids .total').length === 2").await;
    assert_eq!(page.value("document.querySelectorAll('#grids button.box').length").await, 16 + 8);
    page.until_text("[data-table=violations]", "None: every rule was kept.").await;

    let early = Bot::identify(&simulator, 0, 16).await;
    assert_eq!(early["op"], 9);
    let text = simulator.ledger().violation_details[0].text.clone();
    assert!(text.contains("too early"), "{text}");
    page.until_text("[data-table=violations] td.wide", &text).await;

    let markup = "<img src=x onerror=alert(1)>";
    assert_eq!(Bot::resume_of(&simulator, markup).await["op"], 9);
    page.until_text("[data-table=resumes] td:nth-child(3)", "<img src=x o ...").await;
    assert_eq!(page.value("document.images.length").await, 0);

    let message = NewMessage { content: "!ping".to_owned(), ..NewMessage::default() };
    simulator.control().post_message(message).unwrap();
    page.until_text("#events", "made1").await;

    assert_eq!(page.value("document.getElementById('reset').hidden").await, true);
    let nothing = SettingsChange { remaining: Some(0), ..SettingsChange::default() };
    simulator.control().settle(&nothing).unwrap();
    Bot::identify(&simulator, 2, 16).await;
    page.until("!document.getElementById('reset').hidden").await;
    page.until_text("#reset", "1 TOKEN RESET").await;
    page.until_text("#budgets", "0 of 1,000 left").await;
    page.complained_about_nothing();
    page.asked_only(&url);
}

#[tokio::test]
async fn a_simulator_that_is_gone_is_said_and_the_next_one_is_shown_by_itself() {
    let (simulator, url) = start(options()).await;
    let address = simulator.addr();
    let bot = Bot::ready(&simulator, 3, 16).await;
    let browser = Browser::start().await;
    let page = browser.open(&url).await;
    page.until(SIXTEEN).await;
    page.until("document.getElementById('state').textContent === 'live'").await;
    page.complained_about_nothing();

    drop(bot);
    simulator.stop().await;
    page.until("!document.getElementById('gone').hidden").await;
    page.until_text("#state", "no answer").await;
    assert_eq!(page.value(SIXTEEN).await, true, "what was known last is still there");

    let (_simulator, _) = start(Options { listen: address, guilds: 3, ..options() }).await;
    page.until("document.getElementById('state').textContent === 'live'").await;
    page.until_text("#facts", "3 guilds").await;
    page.until("document.querySelectorAll('#grids button').length === 0").await;
    assert_eq!(page.value("document.getElementById('gone').hidden").await, true);
    page.asked_only(&url);
}

#[tokio::test]
async fn thousands_of_shards_fit_on_a_phone_and_the_grid_is_walked_by_keyboard() {
    let (simulator, url) = start(options()).await;
    let _kept = [Bot::ready(&simulator, 7, 2000).await, Bot::ready(&simulator, 1999, 2000).await];
    let browser = Browser::start().await;
    let page = browser.open(&url).await;
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    page.call("Emulation.setDeviceMetricsOverride", phone).await;
    page.until("document.querySelectorAll('#grids button.box').length === 2000").await;
    assert_eq!(page.value("document.querySelectorAll('#grids .box.c').length").await, 2);
    page.until("document.documentElement.scrollWidth <= 360").await;

    // One stop for the tabulator, arrows within; a place says its number.
    assert_eq!(page.value("document.querySelectorAll('#grids [tabindex=\"0\"]').length").await, 1);
    page.value("document.querySelector('#grids .box').focus()").await;
    for key in ["ArrowDown", "ArrowDown", "ArrowRight"] {
        page.press(key).await;
    }
    page.until("document.activeElement.ariaLabel === 'shard 21: never ready'").await;
    page.press("End").await;
    page.press("Enter").await;
    page.until_text("#shard-title", "Shard 1999 of 2000").await;
    page.press("Escape").await;
    page.until("document.getElementById('shard').hidden").await;
    page.complained_about_nothing();
    page.asked_only(&url);
}

#[tokio::test]
async fn an_idle_simulator_has_a_page_too_in_the_dark_and_in_the_light() {
    let (_simulator, url) = start(options()).await;
    let browser = Browser::start().await;
    let page = browser.open(&url).await;
    page.until("document.getElementById('state').textContent === 'live'").await;
    page.until_text("#no-shards", &format!("REST is at {url}api/v10, the gateway at ws://")).await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    for (scheme, colour) in [("dark", "rgb(20, 23, 26)"), ("light", "rgb(246, 247, 249)")] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.call("Emulation.setEmulatedMedia", features).await;
        assert_eq!(page.value(ground).await, colour, "{scheme}");
    }
    // A reader of the page's outline finds a heading for everything, and a name for every table.
    page.until("document.querySelectorAll('h1').length === 1").await;
    assert_eq!(page.value("document.querySelectorAll('section:not([aria-labelledby])').length").await, 0);
    assert_eq!(page.value("document.querySelectorAll('[data-table]:not([data-caption])').length").await, 0);
    page.complained_about_nothing();
    page.asked_only(&url);
}

//! What a browser makes of page and `verify.html`: headless Chromium, spoken to through pipes.
//!
//! It resolves no name and finds nothing but loopback. `QUORATE_NEED_BROWSER=1` makes a missing
//! browser a failure; `QUORATE_SCREENSHOTS=DIR` keeps pictures of the pages.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use quorate_node::attest::http::{serve, verify_html};
use quorate_verifier::file::FileType;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::chain::{ingest, set};
use super::http::Served;
use super::packs::{PACKED, Packed, demanding, flips, of_strangers, resealed};

/// Nothing here takes longer, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, if it is there.
pub(crate) fn tool(name: &'static str, version: &str) -> Option<&'static str> {
    let run = Command::new(name)
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success()).then_some(name)
}

/// Headless Chromium with one page.
struct Browser {
    child: Child,
    input: File,
    messages: Receiver<Value>,
    session: String,
    next: u64,
    /// What it told unasked.
    events: Vec<Value>,
    _dir: tempfile::TempDir,
}

impl Browser {
    /// `None`, and loudly so, where no browser is installed.
    fn start() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(name) = names.into_iter().find_map(|name| tool(name, "--version")) else {
            assert!(
                std::env::var_os("QUORATE_NEED_BROWSER").is_none(),
                "no browser is installed, and QUORATE_NEED_BROWSER demands one"
            );
            eprintln!("SKIPPED: chromium is not installed, so NOTHING WAS TRIED IN A BROWSER");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display().to_string();
        let made = Command::new("mkfifo")
            .args([format!("{at}/in"), format!("{at}/out")])
            .status();
        assert!(made.unwrap().success(), "two pipes");
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --no-first-run \
            --disable-extensions --disable-background-networking --disable-component-update \
            --disable-dev-shm-usage --disable-sync --hide-scrollbars --remote-debugging-pipe \
            --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' \
            --user-data-dir=\"$1/profile\" about:blank 3<\"$1/in\" 4>\"$1/out\"";
        let child = Command::new("sh")
            .args(["-c", script, name, &at])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In this order: the shell opens its first pipe, and waits for us to open it too.
        let input = File::options()
            .write(true)
            .open(dir.path().join("in"))
            .unwrap();
        let output = File::open(dir.path().join("out")).unwrap();
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            session: String::new(),
            next: 0,
            events: Vec::new(),
            _dir: dir,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Network", "Runtime", "Log", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        loop {
            let answer = self.receive(method);
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn receive(&self, why: &str) -> Value {
        let message = self.messages.recv_timeout(PATIENCE);
        message.unwrap_or_else(|error| panic!("{why}: the browser is silent: {error}"))
    }

    /// Goes to an address, and waits until all of it is there.
    fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.receive(url);
            self.events.push(event);
        }
    }

    fn script(&mut self, enabled: bool) {
        let disabled = json!({"value": !enabled});
        self.call("Emulation.setScriptExecutionDisabled", disabled);
    }

    /// What an expression is, promises awaited.
    fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    fn node(&mut self, selector: &str) -> Value {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let asked = json!({"nodeId": root, "selector": selector});
        self.call("DOM.querySelector", asked)["nodeId"].clone()
    }

    /// The markup of an element, read without script.
    fn markup(&mut self, selector: &str) -> String {
        let node = self.node(selector);
        let answer = self.call("DOM.getOuterHTML", json!({"nodeId": node}));
        answer["outerHTML"].as_str().unwrap().to_owned()
    }

    fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector('{selector}').textContent"));
        text.as_str().unwrap().to_owned()
    }

    fn wait_for_text(&mut self, selector: &str, ready: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text(selector);
            if ready(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "{selector} says {text:?}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn click(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector('{selector}').click()"));
    }

    fn choose(&mut self, selector: &str, files: &[&Path]) {
        let node = self.node(selector);
        self.call(
            "DOM.setFileInputFiles",
            json!({"nodeId": node, "files": files}),
        );
    }

    /// Drops files where somebody would.
    fn drop_files(&mut self, selector: &str, files: &[&Path]) {
        let place = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView(); \
             const r = e.getBoundingClientRect(); return [r.x + 20, r.y + 10]; }})()"
        ));
        let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "data": data});
            self.call("Input.dispatchDragEvent", event);
        }
    }

    /// Every address that was asked for since the last [`open`](Self::open).
    fn requests(&self) -> Vec<String> {
        let sent = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| {
            event["params"]["request"]["url"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
    }

    /// What a console would show as wrong.
    fn complaints(&self) -> Vec<String> {
        let wrong = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || (event["method"] == "Log.entryAdded"
                    && event["params"]["entry"]["level"] == "error")
        };
        self.events
            .iter()
            .filter(wrong)
            .map(ToString::to_string)
            .collect()
    }

    /// Keeps a picture, when somebody asked for them.
    fn picture(&mut self, name: &str, width: u32, dark: bool) {
        let Some(dir) = std::env::var_os("QUORATE_SCREENSHOTS") else {
            return;
        };
        let scheme =
            json!([{"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": scheme}));
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let whole =
            json!({"format": "png", "captureBeyondViewport": true, "optimizeForSpeed": false});
        let png = self.call("Page.captureScreenshot", whole);
        let png = Base64::decode_vec(png["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(Path::new(&dir).join(format!("{name}.png")), png).unwrap();
    }

    fn pictures(&mut self, name: &str) {
        for (form, width, dark) in [
            ("wide", 1100, false),
            ("narrow", 390, false),
            ("dark", 1100, true),
        ] {
            self.picture(&format!("{name}-{form}"), width, dark);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the public listener for as long as it lives.
struct Site {
    url: String,
    served: Served,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (served, listener) = runtime.block_on(async {
            let served = Served::covering(dir.path(), 12).await;
            ingest(&served.context.service, 13, 14);
            (served, TcpListener::bind("127.0.0.1:0").await.unwrap())
        });
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(
            listener,
            served.public.clone(),
            std::future::pending(),
        ));
        Self {
            url,
            served,
            runtime,
            _dir: dir,
        }
    }
}

fn attribute_free(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in markup.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

#[test]
fn the_page_answers_and_verifies_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let site = Site::new();
    let sentences = [
        (
            "10",
            "is final: the proof of block 12, its descendant, shows it",
        ),
        ("12", "is final: a proof of its own shows it"),
        ("13", "Block 13 is pending"),
        ("99", "Unknown: block 99 has not been seen"),
    ];
    let ask = |browser: &mut Browser, site: &Site, block: &str, sentence: &str| {
        for script in [false, true] {
            browser.script(script);
            browser.open(&format!("{}/?block={block}", site.url));
            let answer = attribute_free(&browser.markup("#answer"));
            assert!(
                answer.contains(sentence),
                "block {block}, script {script}: {answer}"
            );
            let first = browser.markup("main > :first-child");
            assert!(
                first.contains("id=\"development\"") && first.contains("Development key"),
                "{first}"
            );
            assert!(
                browser
                    .requests()
                    .iter()
                    .all(|url| url.starts_with(&site.url)),
                "{:?}",
                browser.requests()
            );
            assert_eq!(browser.complaints(), [""; 0]);
        }
    };
    for (block, sentence) in sentences {
        ask(&mut browser, &site, block, sentence);
    }

    // Verified here, by the service's word for anchor and keys; then bent.
    browser.open(&format!("{}/?block=10", site.url));
    assert_eq!(
        browser.evaluate("document.getElementById('tools').hidden"),
        false
    );
    browser.pictures("page");
    browser.click("#verify");
    let done = |text: &str| !text.is_empty() && !text.starts_with("Checking");
    let verdict = browser.wait_for_text("#verdict", done);
    assert!(verdict.contains("FINAL: heights 10 to 10 of"), "{verdict}");
    assert!(
        verdict.contains("What it does not show") && verdict.contains("Development key"),
        "{verdict}"
    );
    for _ in 0..3 {
        browser.evaluate("document.getElementById('tampered').textContent = ''");
        browser.click("#tamper");
        let tampered = browser.wait_for_text("#tampered", |text| !text.is_empty());
        assert!(
            tampered.contains("and the manifest made to fit. Refused: "),
            "{tampered}"
        );
    }
    browser.pictures("verified");
    // By a policy of the visitor's, which accepts no key of one party's.
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.json");
    let mut policy = demanding();
    policy.development_keys = false;
    std::fs::write(&own, policy.to_json()).unwrap();
    browser.choose("#policy", &[&own]);
    browser.click("#verify");
    let verdict = browser.wait_for_text("#verdict", |text| text.contains("your policy"));
    assert!(
        verdict.contains("REFUSED BY THE POLICY") && verdict.contains("development key"),
        "{verdict}"
    );
    assert!(
        browser
            .requests()
            .iter()
            .all(|url| url.starts_with(&site.url))
    );
    assert_eq!(browser.complaints(), [""; 0]);
    // Even a script that got in could send nothing elsewhere.
    let sent = browser.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')");
    assert_eq!(sent, "refused");
    assert!(
        browser
            .complaints()
            .iter()
            .any(|said| said.contains("Content Security Policy"))
    );

    // Two final blocks at one height: no answer but that.
    let (fork, at) = super::chain::fork();
    site.runtime.block_on(async {
        assert!(site.served.context.service.ingest(&fork, set(at)).is_err());
    });
    ask(
        &mut browser,
        &site,
        "13",
        "CONFLICT: two final blocks are known at height",
    );
    browser.pictures("conflict");
}

#[test]
fn verify_html_judges_packs_from_a_file() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let Packed { pack, policy } = &*PACKED;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let page = write("verify.html", verify_html().as_bytes());
    let good = write("good.tar", pack);
    let own = write("policy.json", policy.to_json().as_bytes());
    browser.open(&format!("file://{}", page.display()));
    browser.pictures("verify-empty");
    browser.choose("#files", &[&good]);
    let asked = browser.wait_for_text("#verdict", |text| !text.is_empty());
    assert_eq!(asked, "Still needed: the policy of your own.");
    browser.drop_files("#drop", &[&own]);
    let done = |text: &str| text.starts_with("Checked in ");
    let verdict = browser.wait_for_text("#verdict", done);
    assert!(verdict.contains("FINAL: heights 8 to 10 of"), "{verdict}");
    let anchor = browser.text("#anchor");
    // As `quorate inspect` reads it out.
    let digest = policy.anchor.digest();
    let first = u16::from_be_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]);
    let last = u16::from_be_bytes([digest.as_bytes()[18], digest.as_bytes()[19]]);
    assert!(
        anchor.starts_with(&format!("{first:05} "))
            && anchor.contains(&format!(" {last:05}, digest ")),
        "{anchor}"
    );
    assert!(
        anchor.contains(&policy.anchor.digest().to_string()),
        "{anchor}"
    );
    browser.click("#tamper");
    let tampered = browser.wait_for_text("#tampered", |text| !text.is_empty());
    assert!(
        tampered.contains("and the manifest made to fit. Refused: "),
        "{tampered}"
    );
    browser.pictures("verify");

    // Changed ones, as they are and with a manifest that knows; and what strangers made.
    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    let plain = flips(pack);
    let sealed = resealed(pack);
    let step = plain.len() / 7 + 1;
    for patch in plain.iter().skip(step / 2).step_by(step) {
        bad.push((patch.name.clone(), patch.apply(pack)));
    }
    for start in ["headers/", "keys/", "log/", "proofs/"] {
        let of: Vec<_> = sealed
            .iter()
            .filter(|patch| patch.name.starts_with(start))
            .collect();
        let patch = of[of.len() / 2];
        bad.push((patch.name.clone(), patch.apply(pack)));
    }
    for (what, pack, ..) in of_strangers() {
        let named = if what == "own chain" {
            "the policy's is"
        } else {
            ""
        };
        bad.push((named.into(), pack));
    }
    for (i, (name, bytes)) in bad.iter().enumerate() {
        let path = write(&format!("bad-{i}.tar"), bytes);
        browser.evaluate("document.getElementById('verdict').textContent = ''");
        browser.choose("#files", &[&path]);
        let verdict = browser.wait_for_text("#verdict", done);
        assert!(!verdict.contains("FINAL"), "{name}: {verdict}");
        assert!(verdict.contains(name.as_str()), "{name}: {verdict}");
    }
    browser.pictures("verify-refused");
    println!(
        "{} bad packs refused by verify.html in a browser",
        bad.len()
    );
    let url = format!("file://{}", page.display());
    assert!(
        browser.requests().iter().all(|asked| *asked == url),
        "{:?}",
        browser.requests()
    );
    assert_eq!(browser.complaints(), [""; 0]);
    let sent = browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')");
    assert_eq!(sent, "refused");
    assert!(
        browser
            .complaints()
            .iter()
            .any(|said| said.contains("Content Security Policy"))
    );
}

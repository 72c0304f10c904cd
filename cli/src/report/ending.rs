//! How a guest's run ended, for people and for programs.

use run_rules::host::{Ending, LimitHit, Outcome, Trap};
use run_rules::value;
use serde_json::json;

use super::Bytes;
use super::console::Console;
use crate::fail::{Failure, Kind};
use crate::put::put;

/// Says how it ended: a call's value on one line of JSON, a command's status as our own.
///
/// # Errors
/// The status, where it is not 0; output that can't be written.
pub(crate) fn tell(outcome: &Outcome, is_call: bool, console: &mut Console) -> Result<(), Failure> {
    let status = u8::try_from(outcome.ending.exit_status()).unwrap_or(1);
    let complaint = complaint(&outcome.ending);
    if console.is_json() || (is_call && complaint.is_none()) {
        console.data(&format!("{}\n", document(outcome, is_call)))?;
    }
    if let Some(complaint) = complaint {
        if !console.is_json() {
            console.complain(&quoted("stdout", &outcome.stdout));
            console.complain(&quoted("stderr", &outcome.stderr));
        }
        console.complain(&complaint);
    }
    match status {
        0 => Ok(()),
        status => Err(Failure::told(Kind::Guest(status))),
    }
}

/// The fixed shape: status and value first, then what the guest wrote, if it wrote something.
fn document(outcome: &Outcome, is_call: bool) -> serde_json::Value {
    let mut document = serde_json::Map::new();
    document.insert("exit_code".to_owned(), json!(outcome.ending.exit_status()));
    match &outcome.ending {
        Ending::Returned(value) => {
            document.insert("return_value".to_owned(), json!(value.as_ref().map(value::to_json)));
        }
        Ending::ReturnedErr(value) => {
            let payload = value.as_ref().map(value::to_json);
            document.insert("return_value".to_owned(), json!({ "err": payload }));
        }
        Ending::Exited(_) if is_call => {
            document.insert("return_value".to_owned(), serde_json::Value::Null);
        }
        Ending::Exited(_) => {}
        Ending::Trapped(trap) => {
            document.insert("trap".to_owned(), trap_document(trap));
        }
        Ending::LimitHit(LimitHit { limit, trap }) => {
            document.insert("limit".to_owned(), json!(limit.to_string()));
            document.insert("trap".to_owned(), trap_document(trap));
        }
        Ending::MissingImports(missing) => {
            let names: Vec<&str> = missing.iter().map(|import| import.name.as_str()).collect();
            document.insert("missing_imports".to_owned(), json!(names));
        }
    }
    for (name, bytes) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        if !bytes.is_empty() {
            document.insert(name.to_owned(), json!(Bytes(bytes)));
        }
    }
    serde_json::Value::Object(document)
}

fn trap_document(trap: &Trap) -> serde_json::Value {
    json!({
        "message": trap.message,
        "function": trap.function,
        "frames": frames(trap),
    })
}

/// What there is to complain about: a guest that did not come to an end of its own.
fn complaint(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Returned(_) | Ending::ReturnedErr(_) | Ending::Exited(_) => None,
        Ending::Trapped(trap) => Some(format!("error: `{}` trapped: {}\n{}", trap.function, trap.message, stack(trap))),
        Ending::LimitHit(hit) => {
            let LimitHit { limit, trap } = hit;
            Some(format!("error: `{}` was stopped: {hit}\n{}help: {}\n", trap.function, stack(trap), limit.remedy()))
        }
        Ending::MissingImports(missing) => {
            let mut text = "error: nothing here provides what the component imports\n".to_owned();
            for import in missing {
                put!(text, "  {}\n", import.name);
                text.extend(import.wanted.iter().map(|wanted| format!("    {wanted}\n")));
            }
            Some(text + "help: name the components that export it in `depends`, or compose them\n")
        }
    }
}

fn stack(trap: &Trap) -> String {
    frames(trap).iter().map(|frame| format!("  at {frame}\n")).collect()
}

fn frames(trap: &Trap) -> Vec<String> {
    let known = trap.frames.iter().map(|frame| {
        let function = frame.function.clone().unwrap_or_else(|| format!("function {}", frame.index));
        let module = frame.module.as_ref().map_or_else(String::new, |module| format!("{module}: "));
        let place = match (&frame.source, frame.offset) {
            (Some(source), _) => format!(" ({}:{})", source.file, source.line),
            (None, Some(offset)) => format!(" (offset {offset:#x})"),
            (None, None) => String::new(),
        };
        format!("{module}{function}{place}")
    });
    known.collect()
}

/// What a guest wrote before it came to grief.
fn quoted(stream: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let lines: String = String::from_utf8_lossy(bytes).lines().map(|line| format!("  | {line}\n")).collect();
    format!("{stream} of the guest:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ending: Ending) -> Outcome {
        Outcome { ending, stdout: Vec::new(), stderr: b"\xff".to_vec(), fuel_used: 0, missed_input: false }
    }

    #[test]
    fn a_value_is_one_line_in_a_fixed_order() {
        let returned = outcome(Ending::Returned(None));
        assert_eq!(
            document(&returned, true).to_string(),
            r#"{"exit_code":0,"return_value":null,"stderr":{"base64":"/w=="}}"#
        );
        let failed = outcome(Ending::ReturnedErr(None));
        assert!(document(&failed, true).to_string().starts_with(r#"{"exit_code":1,"return_value":{"err":null}"#));
    }

    #[test]
    fn a_trap_says_where() {
        let trap = Trap { message: "integer divide by zero".into(), function: "div".into(), frames: Vec::new() };
        assert_eq!(
            complaint(&Ending::Trapped(trap)).as_deref(),
            Some("error: `div` trapped: integer divide by zero\n")
        );
    }
}

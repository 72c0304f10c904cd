//! The state of a rehearsed component becomes the start of another: memories and globals are written into it as they are.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasm_encoder::{CodeSection, Component, ComponentSectionId, Function, Module, RawSection, SectionId};
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, DataKind, DataSectionReader, GlobalSectionReader,
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::host::Stage;
use crate::sections::sections;

/// A component with ways to read its state added to it.
///
/// # Errors
///
/// What keeps the state of this component from being read, such as instructions that change tables.
pub fn open(linked: &[u8]) -> Result<Vec<u8>, String> {
    let (_, open) = Wizer::new().instrument_component(linked).map_err(|e| format!("{e:#}"))?;
    Ok(open)
}

/// The component `linked` in the state that its opened form was left in by a rehearsal.
///
/// # Errors
///
/// As for [`open`].
pub fn freeze(linked: &[u8], stage: &mut Stage) -> Result<Vec<u8>, String> {
    let hollow = hollowed(linked).map_err(|e| e.to_string())?;
    let frozen = filled(&snapshot(&hollow, stage)?, linked, &hollow).map_err(|e| e.to_string())?;
    // One that was written anew is one that has to be read whole.
    frozen.map_or_else(|| snapshot(linked, stage), Ok)
}

fn snapshot(linked: &[u8], stage: &mut Stage) -> Result<Vec<u8>, String> {
    let mut wizer = Wizer::new();
    // It would look for a function to remove in every core module too.
    wizer.keep_init_func(true);
    let (context, _) = wizer.instrument_component(linked).map_err(|e| format!("{e:#}"))?;
    now(wizer.snapshot_component(&context, &mut Accessors(stage))).map_err(|e| format!("{e:#}"))
}

const CORE_MODULE: u8 = ComponentSectionId::CoreModule as u8;

/// The component with modules that do nothing in place of those without state of their own: they are most of it, would be read
/// from end to end, and be left as they are.
fn hollowed(linked: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut out = Component::new();
    for (id, data) in sections(linked)? {
        let hollow = match id {
            CORE_MODULE => hollow(data)?,
            _ => None,
        };
        out.section(&RawSection { id, data: hollow.as_deref().unwrap_or(data) });
    }
    Ok(out.finish())
}

/// Puts the modules of `linked` back where others stand for them; nothing where one of those was written anew.
fn filled(frozen: &[u8], linked: &[u8], hollow: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let modules = |component| -> Result<Vec<&[u8]>, BinaryReaderError> {
        Ok(sections(component)?.into_iter().filter(|(id, _)| *id == CORE_MODULE).map(|(_, module)| module).collect())
    };
    let (whole, stand_ins) = (modules(linked)?, modules(hollow)?);
    let mut pairs = whole.iter().zip(&stand_ins);
    let mut out = Component::new();
    for (id, data) in sections(frozen)? {
        let pair = if id == CORE_MODULE { pairs.next() } else { None };
        let back = match pair {
            Some((whole, stand_in)) if whole != stand_in && *stand_in != data => return Ok(None),
            Some((whole, stand_in)) if whole != stand_in => whole,
            _ => data,
        };
        out.section(&RawSection { id, data: back });
    }
    Ok(pairs.next().is_none().then(|| out.finish()))
}

/// A module whose functions do nothing and that is else the same; nothing for one with state of its own, or without a place for
/// data, which would be given one.
fn hollow(module: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    const CODE: u8 = SectionId::Code as u8;
    let (mut out, mut has_data) = (Module::new(), false);
    for (id, data) in sections(module)? {
        let reader = || BinaryReader::new(data, 0);
        match id {
            id if id == SectionId::Memory as u8 || id == SectionId::Start as u8 => return Ok(None),
            id if id == SectionId::Global as u8 => {
                for global in GlobalSectionReader::new(reader())? {
                    if global?.ty.mutable {
                        return Ok(None);
                    }
                }
            }
            id if id == SectionId::Data as u8 => {
                has_data = true;
                for segment in DataSectionReader::new(reader())? {
                    if matches!(segment?.kind, DataKind::Active { .. }) {
                        return Ok(None);
                    }
                }
            }
            _ => {}
        }
        match id {
            CODE => {
                let mut code = CodeSection::new();
                for _ in 0..CodeSectionReader::new(reader())?.count() {
                    let mut function = Function::new([]);
                    function.instructions().unreachable().end();
                    code.function(&function);
                }
                out.section(&code);
            }
            id => {
                out.section(&RawSection { id, data });
            }
        }
    }
    Ok(has_data.then(|| out.finish()))
}

/// Reads state through the functions that opening added.
struct Accessors<'a>(&'a mut Stage);

impl ComponentInstanceState for Accessors<'_> {
    fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        function: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) -> impl Future<Output = ()> + Send {
        self.0.bytes(instance, function, contents);
        ready(())
    }

    fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> impl Future<Output = i32> + Send {
        ready(self.0.number(instance, function))
    }

    fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> impl Future<Output = i64> + Send {
        ready(self.0.number(instance, function))
    }

    fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> impl Future<Output = u32> + Send {
        ready(self.0.number::<f32>(instance, function).to_bits())
    }

    fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> impl Future<Output = u64> + Send {
        ready(self.0.number::<f64>(instance, function).to_bits())
    }
}

/// The value of a future that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("every part of it is ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(modules: &[&str]) -> Vec<u8> {
        let modules: Vec<_> = modules.iter().map(|module| format!("(core module {module})")).collect();
        wat::parse_str(format!("(component {})", modules.concat())).unwrap()
    }

    const STATELESS: &str = r#"(import "env" "memory" (memory 1)) (global i32 (i32.const 1)) (table 1 funcref)
        (elem (i32.const 0) func $f) (func $f (export "f") (param i32) (result i64) (i64.load (local.get 0)))
        (data "")"#;

    #[test]
    fn modules_without_state_come_back_as_they_were() {
        let with_state = r#"(memory 1) (data (i32.const 0) "state")"#;
        let whole = component(&[STATELESS, with_state]);
        let hollow = hollowed(&whole).unwrap();
        assert!(hollow.len() < whole.len());
        wasmparser::validate(&hollow).unwrap();
        assert_eq!(filled(&hollow, &whole, &hollow).unwrap().unwrap(), whole);
        let changed = component(&[r#"(memory 1) (data (i32.const 0) "other")"#, with_state]);
        assert!(filled(&changed, &whole, &hollow).unwrap().is_none(), "a module without state was changed");
        assert!(filled(&component(&[]), &whole, &hollow).unwrap().is_none(), "modules are gone");
    }

    #[test]
    fn modules_with_state_are_read_whole() {
        for state in [
            "(memory 1)",
            r#"(global (mut i32) (i32.const 1)) (data "")"#,
            r#"(import "env" "memory" (memory 1)) (data (i32.const 0) "state")"#,
            r#"(func $f) (start $f) (data "")"#,
            "(func)",
        ] {
            let whole = component(&[state]);
            assert!(hollowed(&whole).unwrap() == whole, "{state}");
        }
    }

    #[test]
    fn modules_that_look_alike_without_their_code_are_not_mixed_up() {
        let function = |body: &str| format!(r#"(func (export "f") (result i32) {body}) (data "")"#);
        let [one, other, idle] = ["(i32.const 1)", "(i32.const 2)", "unreachable"].map(function);
        let whole = component(&[&one, &other, &idle, &one]);
        let hollow = hollowed(&whole).unwrap();
        assert_eq!(filled(&hollow, &whole, &hollow).unwrap().unwrap(), whole);
    }
}

//! The state of a rehearsed component becomes the start of another: memories and globals are written into it as they are.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::host::Stage;

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
    let mut wizer = Wizer::new();
    // It would look for a function to remove in every core module too.
    wizer.keep_init_func(true);
    let (context, _) = wizer.instrument_component(linked).map_err(|e| format!("{e:#}"))?;
    now(wizer.snapshot_component(&context, &mut Accessors(stage))).map_err(|e| format!("{e:#}"))
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

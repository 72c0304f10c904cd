//! A component run once while it is built: everything it could learn of a machine is a constant, what only its users
//! will provide ends the run when it is called, and the state that is left can be read.

use std::sync::Arc;

use run_engine::cancel::Cancel;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Func, Instance, Lift, Linker, Lower, ResourceType, Val, WasmList,
};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, Network};

use super::component::Component;
use super::disk::{self, Disk};
use super::grants::{Grants, Limits, Stdin, Streams};
use super::limits::{Interrupted, Patience, Watchdog, is_of_the_machine};
use super::link::link_known;
use super::outcome::Ending;
use super::program::{HostError, ending_of, metered};
use super::state::State;

/// What a host function of the rehearsal answers.
pub type Answer = Arc<dyn Fn(&[Val]) -> Val + Send + Sync>;

/// A component and what it finds when it is rehearsed.
pub struct Rehearsal<'a> {
    /// What is run.
    pub component: &'a Component,
    /// Environment variables, in the order in which the guest is told of them.
    pub env: Vec<(String, String)>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// The files it sees.
    pub files: Arc<Disk>,
    /// Functions that are there for the rehearsal only: interface, name, what they answer.
    pub functions: Vec<(&'a str, &'a str, Answer)>,
    /// Ends the rehearsal when it is set.
    pub cancel: &'a Cancel,
}

/// How a rehearsal ended.
pub enum Rehearsed<T = Val> {
    /// The function returned.
    Returned(T, Stage),
    /// It did not; the message says why.
    Failed {
        /// Why, in one line.
        message: String,
        /// What the guest wrote until then.
        output: Vec<u8>,
    },
}

/// A rehearsed component, with the state it was left in.
pub struct Stage {
    store: Store<State>,
    instance: Instance,
}

/// Stands for every resource that nobody has while a component is rehearsed.
struct Absent;

impl Rehearsal<'_> {
    /// Calls the exported function `function` of the interface, if any, in a fresh instance. It returns one value.
    ///
    /// # Errors
    ///
    /// Only what the guest has no part in.
    pub fn run(&self, interface: Option<&str>, function: &str, arguments: &[Val]) -> Result<Rehearsed, HostError> {
        self.rehearse(interface, function, |function, store| {
            let mut results = [Val::Bool(false)];
            function.call(store, arguments, &mut results)?;
            let [value] = results;
            Ok(value)
        })
    }

    /// As [`Self::run`], for a function whose type is known: large arguments are not taken apart.
    ///
    /// # Errors
    ///
    /// As for [`Self::run`].
    pub fn call<P, R>(&self, interface: Option<&str>, function: &str, parameters: P) -> Result<Rehearsed<R>, HostError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.rehearse(interface, function, |function, store| {
            let function = function.typed::<P, R>(&*store)?;
            function.call(store, parameters)
        })
    }

    fn rehearse<R>(
        &self,
        interface: Option<&str>,
        function: &str,
        call: impl FnOnce(Func, &mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<Rehearsed<R>, HostError> {
        let limits = Limits::default();
        let grants = Grants { env: self.env.clone(), ..Grants::default() };
        let patience = Patience::new(None, Some(self.cancel.clone()));
        let streams = Streams { stdin: Stdin::Bytes(self.stdin.clone()), ..Streams::default() };
        let state = State::new(&grants, &limits, &streams, &[], patience.clone())?;
        let engine = self.component.engine();
        let mut store = metered(engine, state, &limits)?;
        let watchdog = Watchdog::start(engine, &mut store, patience);
        let linker = self.linker(&grants)?;
        let called = self.instantiate(&linker, &mut store, interface, function);
        let called = called.and_then(|(instance, function)| Ok((call(function, &mut store)?, instance)));
        drop(watchdog);
        match called {
            Ok((value, instance)) => Ok(Rehearsed::Returned(value, Stage { store, instance })),
            Err(error) if error.is::<Interrupted>() => Err(HostError::Interrupted),
            Err(error) if is_of_the_machine(&error) => Err(HostError::NoMemory(error.root_cause().to_string())),
            Err(error) => Ok(Rehearsed::Failed {
                message: told(&ending_of(&error, &store, &limits, function)),
                output: written(&store),
            }),
        }
    }

    fn linker(&self, grants: &Grants) -> Result<Linker<State>, HostError> {
        let engine = self.component.engine();
        let (mut linker, unknown) = link_known(self.component, grants)?;
        disk::define(&mut linker, self.component, &self.files).map_err(HostError::bug)?;
        for (interface, name, answer) in &self.functions {
            let answer = Arc::clone(answer);
            let define = |linker: &mut Linker<State>| {
                linker.instance(interface)?.func_new(name, move |_, _, arguments, results| {
                    results[0] = answer(arguments);
                    Ok(())
                })
            };
            define(&mut linker).map_err(HostError::bug)?;
        }
        let known = self.known_resources();
        for (name, item) in &unknown {
            if !self.functions.iter().any(|(interface, ..)| interface == name) {
                stub(&mut linker, engine, name, item, &known).map_err(HostError::bug)?;
            }
        }
        Ok(linker)
    }

    fn instantiate(
        &self,
        linker: &Linker<State>,
        store: &mut Store<State>,
        interface: Option<&str>,
        function: &str,
    ) -> wasmtime::Result<(Instance, Func)> {
        let instance = linker.instantiate(&mut *store, self.component)?;
        let index = export(self.component, interface, function)
            .ok_or_else(|| wasmtime::format_err!("the component does not export `{function}`"))?;
        let function = instance.get_func(&mut *store, index).expect("the index is of this component");
        Ok((instance, function))
    }

    /// The types of resources that interfaces of ours define, as the component speaks of them and as they are here: other
    /// interfaces use them too, and must mean the same.
    fn known_resources(&self) -> Vec<(ResourceType, ResourceType)> {
        let engine = self.component.engine();
        let mut known = Vec::new();
        for (interface, import) in self.component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = &import.ty else { continue };
            for (name, item) in instance.exports(engine) {
                if let (ComponentItem::Resource(ty), Some(here)) = (item.ty, resource_of_wasi(interface, name)) {
                    known.push((ty, here));
                }
            }
        }
        known
    }
}

/// What the guest wrote, to either stream.
fn written(store: &Store<State>) -> Vec<u8> {
    let (mut stdout, stderr) = store.data().stdio.captured();
    stdout.extend(stderr);
    stdout
}

/// What an ending means for a program that was only to be loaded.
fn told(ending: &Ending) -> String {
    match ending {
        Ending::Exited(status) => format!("the program ended itself with status {status} while it was loaded"),
        Ending::Trapped(trap) => trap.message.clone(),
        Ending::LimitHit(hit) => hit.to_string(),
        Ending::Returned(_) | Ending::ReturnedErr(_) | Ending::MissingImports(_) => {
            unreachable!("no error of the engine means that")
        }
    }
}

fn export(component: &Component, interface: Option<&str>, function: &str) -> Option<ComponentExportIndex> {
    let instance = match interface {
        Some(interface) => Some(component.get_export_index(None, interface)?),
        None => None,
    };
    component.get_export_index(instance.as_ref(), function)
}

/// The resources that WASI's interfaces take from each other; the rest nobody else speaks of.
fn resource_of_wasi(interface: &str, name: &str) -> Option<ResourceType> {
    let (interface, _) = interface.split_once('@')?;
    Some(match (interface, name) {
        ("wasi:io/error", "error") => ResourceType::host::<IoError>(),
        ("wasi:io/poll", "pollable") => ResourceType::host::<DynPollable>(),
        ("wasi:io/streams", "input-stream") => ResourceType::host::<DynInputStream>(),
        ("wasi:io/streams", "output-stream") => ResourceType::host::<DynOutputStream>(),
        ("wasi:filesystem/types", "descriptor") => ResourceType::host::<disk::Open>(),
        ("wasi:filesystem/types", "directory-entry-stream") => ResourceType::host::<disk::Listing>(),
        ("wasi:sockets/network", "network") => ResourceType::host::<Network>(),
        _ => return None,
    })
}

/// Defines an import that is not there yet: its functions end the run, by name.
fn stub(
    linker: &mut Linker<State>,
    engine: &Engine,
    name: &str,
    item: &ComponentItem,
    known: &[(ResourceType, ResourceType)],
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => linker.root().func_new(name, absent(name.to_owned())),
        ComponentItem::ComponentInstance(instance) => {
            let mut defined = linker.instance(name)?;
            for (inner, item) in instance.exports(engine) {
                match item.ty {
                    ComponentItem::ComponentFunc(_) => defined.func_new(inner, absent(format!("{name}#{inner}")))?,
                    ComponentItem::Resource(ty) => {
                        let here = known.iter().find(|(there, _)| *there == ty).map(|(_, here)| *here);
                        let here = here.unwrap_or_else(ResourceType::host::<Absent>);
                        defined.resource(inner, here, |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        ComponentItem::Resource(_) => linker.root().resource(name, ResourceType::host::<Absent>(), |_, _| Ok(())),
        _ => Ok(()),
    }
}

/// A function that says it is not there.
fn absent<T>(
    name: String,
) -> impl Fn(
    wasmtime::StoreContextMut<'_, T>,
    wasmtime::component::types::ComponentFunc,
    &[Val],
    &mut [Val],
) -> wasmtime::Result<()>
+ Send
+ Sync
+ 'static {
    move |_, _, _, _| {
        wasmtime::bail!("`{name}` was called while the program was loaded; it can be called once the component runs")
    }
}

impl Stage {
    /// Calls a function that takes nothing and returns a number.
    ///
    /// # Panics
    ///
    /// There is no such function, or it traps.
    pub fn number<R: Lift + 'static>(&mut self, interface: &str, function: &str) -> R {
        self.call::<R>(interface, function)
    }

    /// Calls a function that takes nothing and returns bytes, and shows them without a copy.
    ///
    /// # Panics
    ///
    /// There is no such function, or it traps.
    pub fn bytes(&mut self, interface: &str, function: &str, look: impl FnOnce(&[u8])) {
        let list: WasmList<u8> = self.call(interface, function);
        look(list.as_le_slice(&self.store));
    }

    /// What the guest wrote.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        written(&self.store)
    }

    fn call<R: Lift + 'static>(&mut self, interface: &str, function: &str) -> R {
        let store = &mut self.store;
        let outer = self.instance.get_export_index(&mut *store, None, interface);
        let index = self.instance.get_export_index(&mut *store, outer.as_ref(), function);
        let index = index.unwrap_or_else(|| panic!("the rehearsed component has `{interface}#{function}`"));
        let function = self.instance.get_typed_func::<(), (R,)>(&mut *store, index).expect("its type is known");
        function.call(&mut *store, ()).expect("an accessor can't fail").0
    }
}

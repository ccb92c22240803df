//! Node's own event loop: has it watch a descriptor, and calls JavaScript from there.
//!
//! The one module with `unsafe` in it. All of it runs on the JavaScript thread: libuv and Node-API call nothing here from
//! another.

#![expect(
    unsafe_code,
    reason = "libuv and the callback scope are C interfaces without a safe wrapper"
)]

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::OnceLock;

use libloading::os::unix::Library;
use napi::bindgen_prelude::*;
use napi::{Env, sys};

/// What is done when the descriptor is ready, and when the loop ends.
pub trait Watcher {
    /// Whether JavaScript has to be called now.
    fn ready(&self) -> bool;
    /// Nothing is called any more after this.
    fn end(&self);
}

/// A descriptor under watch. Belongs to the loop: it is freed when the loop has closed the handle.
struct Watch {
    uv: &'static Uv,
    env: sys::napi_env,
    /// The JavaScript function to call.
    callback: sys::napi_ref,
    watcher: Box<dyn Watcher>,
    hook: sys::napi_async_cleanup_hook_handle,
    /// The memory of the `uv_poll_t`, of the size and alignment that the loop's libuv wants.
    handle: Box<[u128]>,
}

type Handle = *mut c_void;

/// The functions of libuv that Node exports to addons. Looked up when they are first wanted, since other runtimes lack
/// them and the addon has to load there too.
struct Uv {
    handle_size: unsafe extern "C" fn(kind: c_int) -> usize,
    poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, PollCallback) -> c_int,
    set_data: unsafe extern "C" fn(Handle, *mut c_void),
    get_data: unsafe extern "C" fn(Handle) -> *mut c_void,
    unref: unsafe extern "C" fn(Handle),
    close: unsafe extern "C" fn(Handle, unsafe extern "C" fn(Handle)),
}

type PollCallback = unsafe extern "C" fn(Handle, status: c_int, events: c_int);

/// `UV_POLL` of `uv_handle_type` and `UV_READABLE` of `uv_poll_event`, as they have been since libuv 1.0.
const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;

/// Has this thread's loop watch a descriptor, without being kept alive by it, until the thread ends. The descriptor must
/// stay open until `watcher` is dropped.
///
/// # Errors
/// Where the runtime has no such loop, or the loop cannot watch the descriptor.
pub fn watch(
    env: &Env,
    descriptor: RawFd,
    callback: &Function<'_, (), ()>,
    watcher: Box<dyn Watcher>,
) -> Result<()> {
    let uv = Uv::of_node().ok_or_else(|| Error::from_reason("this runtime exports no libuv"))?;
    let env = env.raw();
    let mut event_loop = null_mut();
    // SAFETY: `env` is this thread's, and the result is a place to write to.
    check(unsafe { sys::napi_get_uv_event_loop(env, &raw mut event_loop) })?;

    // SAFETY: takes a number, and knows it.
    let size = unsafe { (uv.handle_size)(UV_POLL) };
    let handle = vec![0_u128; size.div_ceil(size_of::<u128>())].into_boxed_slice();
    let (callback_ref, hook) = (null_mut(), null_mut());
    let mut watch = Box::new(Watch { uv, env, callback: callback_ref, watcher, hook, handle });
    // SAFETY: the function is a live value of this thread's environment.
    check(unsafe {
        sys::napi_create_reference(env, callback.value().value, 1, &raw mut watch.callback)
    })?;
    let watch = Box::into_raw(watch);
    // SAFETY: just made, and known to nobody else.
    let handle: Handle = unsafe { (*watch).handle.as_mut_ptr().cast() };
    // SAFETY: the handle is zeroed memory of the size that libuv gave, and stays where it is. One that could not be
    // initialised is not known to the loop, so it is freed with its box.
    unsafe {
        if (uv.poll_init)(event_loop, handle, descriptor) != 0 {
            sys::napi_delete_reference(env, (*watch).callback);
            drop(Box::from_raw(watch));
            return Err(Error::from_reason("the event loop cannot watch a descriptor"));
        }
    }
    // SAFETY: from here on the loop knows the handle, so it and its data live until `on_closed` frees them.
    let status = unsafe {
        (uv.set_data)(handle, watch.cast());
        let started = (uv.poll_start)(handle, UV_READABLE, on_ready);
        (uv.unref)(handle);
        if started != 0 {
            (uv.close)(handle, on_closed);
            return Err(Error::from_reason("the event loop cannot watch a descriptor"));
        }
        // The loop must not end with an open handle, so Node waits for this one to be closed.
        sys::napi_add_async_cleanup_hook(env, Some(on_end), watch.cast(), &raw mut (*watch).hook)
    };
    check(status).inspect_err(|_| {
        // SAFETY: as above; nothing was closed yet.
        unsafe { (uv.close)(handle, on_closed) }
    })
}

/// The descriptor is readable: the native work first, then JavaScript, once, if there is anything to tell it.
unsafe extern "C" fn on_ready(handle: Handle, _status: c_int, _events: c_int) {
    let Some(uv) = Uv::of_node() else { return };
    // SAFETY: `data` was set by `watch` and is freed by `on_closed`, after which nothing is called for this handle. Only
    // shared access is taken, here and in all that is called from here.
    let watch = unsafe { &*(uv.get_data)(handle).cast::<Watch>() };
    let call = catch_unwind(AssertUnwindSafe(|| watch.watcher.ready())).unwrap_or(false);
    if call {
        // SAFETY: this is the environment's thread, and its loop is running.
        unsafe { call_javascript(watch.env, watch.callback) };
    }
}

/// Calls a function as an event of the loop: ticks and microtasks run after it. Where JavaScript can no longer run,
/// nothing happens.
unsafe fn call_javascript(env: sys::napi_env, function: sys::napi_ref) {
    let (mut scope, mut receiver, mut callee, mut error) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: by the caller, `env` is live and this its thread; each result is used only if its call was successful; the
    // scope is closed on the way out.
    unsafe {
        if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
            return;
        }
        if sys::napi_get_reference_value(env, function, &raw mut callee) == sys::Status::napi_ok
            && sys::napi_get_global(env, &raw mut receiver) == sys::Status::napi_ok
        {
            let (context, arguments, result) = (null_mut(), std::ptr::null(), null_mut());
            let status =
                sys::napi_make_callback(env, context, receiver, callee, 0, arguments, result);
            if status == sys::Status::napi_pending_exception
                && sys::napi_get_and_clear_last_exception(env, &raw mut error)
                    == sys::Status::napi_ok
            {
                sys::napi_fatal_exception(env, error);
            }
        }
        sys::napi_close_handle_scope(env, scope);
    }
}

/// The thread ends.
unsafe extern "C" fn on_end(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: `data` is the watch that `watch` leaked, freed no sooner than in `on_closed`.
    let watch = unsafe { &*data.cast::<Watch>() };
    let _ = catch_unwind(AssertUnwindSafe(|| watch.watcher.end()));
    let handle = watch.handle.as_ptr().cast_mut().cast();
    // SAFETY: the handle is open, and closed only here.
    unsafe { (watch.uv.close)(handle, on_closed) };
}

/// The loop has let the handle go.
unsafe extern "C" fn on_closed(handle: Handle) {
    let Some(uv) = Uv::of_node() else { return };
    // SAFETY: `data` is the box that `watch` leaked, and nobody else refers to it any more.
    let watch = unsafe { Box::from_raw((uv.get_data)(handle).cast::<Watch>()) };
    let hook = watch.hook;
    let _ = catch_unwind(AssertUnwindSafe(|| drop(watch)));
    if !hook.is_null() {
        // SAFETY: Node has been waiting for this since it called `on_end`.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

impl Uv {
    fn of_node() -> Option<&'static Self> {
        static UV: OnceLock<Option<Uv>> = OnceLock::new();
        UV.get_or_init(Self::find).as_ref()
    }

    fn find() -> Option<Self> {
        let node = Library::this();
        // SAFETY: the names are libuv's public interface and the types are those of its header. Nothing is unloaded: the
        // library is the process itself.
        unsafe {
            Some(Self {
                handle_size: *node.get(c"uv_handle_size".to_bytes_with_nul()).ok()?,
                poll_init: *node.get(c"uv_poll_init".to_bytes_with_nul()).ok()?,
                poll_start: *node.get(c"uv_poll_start".to_bytes_with_nul()).ok()?,
                set_data: *node.get(c"uv_handle_set_data".to_bytes_with_nul()).ok()?,
                get_data: *node.get(c"uv_handle_get_data".to_bytes_with_nul()).ok()?,
                unref: *node.get(c"uv_unref".to_bytes_with_nul()).ok()?,
                close: *node.get(c"uv_close".to_bytes_with_nul()).ok()?,
            })
        }
    }
}

fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(Error::from_reason("Node-API refused"))
}

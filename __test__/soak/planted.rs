//! A Node addon that reads memory after it was freed, as soon as it is loaded: what proves that AddressSanitizer is on.

use std::ffi::c_void;

#[unsafe(no_mangle)]
pub extern "C" fn napi_register_module_v1(_env: *mut c_void, exports: *mut c_void) -> *mut c_void {
    let freed = Box::into_raw(Box::new([7_u8; 64]));
    drop(unsafe { Box::from_raw(freed) });
    let read = unsafe { std::ptr::read_volatile(freed.cast::<u8>()) };
    println!("read {read} after it was freed");
    exports
}

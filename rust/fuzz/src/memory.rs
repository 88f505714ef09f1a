//! An allocator that refuses large pieces: a parser that believes a length before it has checked it is found by that.
//!
//! libFuzzer's own limit on single allocations (`-malloc_limit_mb`) needs a sanitizer's hooks, which stable Rust lacks.

use std::alloc::{GlobalAlloc, Layout, System};

/// Above what any target needs for an input of at most 64 KiB (payloads decode to 1 MiB at most), below what would hurt.
pub const LARGEST: usize = 32 << 20;

/// The system's allocator; a piece larger than [`LARGEST`] ends the process.
pub struct Limited;

// SAFETY: every call goes to `System` unchanged, or does not come back.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn check(size: usize) {
    if size > LARGEST {
        refuse(size);
    }
}

#[cold]
fn refuse(size: usize) -> ! {
    use std::io::Write;

    // Written without allocating; a panic would be caught by whoever joins a thread.
    let _ = writeln!(std::io::stderr(), "an allocation of {size} bytes: more than {LARGEST}");
    std::process::abort()
}

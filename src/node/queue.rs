//! What waits for the JavaScript thread: completions in packed frames, and the pieces of bodies that are too large to be
//! packed.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

use super::wire::{Kind, Packed};

/// Pieces from this size on are handed over apart from the packed frames, which saves a copy.
const LARGE: usize = 16 * 1024;
/// Copying more than this for one wake-up would keep the JavaScript thread from its other work.
const BATCH: usize = 1024 * 1024;

/// The completions of one batch, and what is to wait for the next.
#[derive(Default)]
pub struct Queue {
    packed: Packed,
    /// Pieces too large to be packed, in the order in which the frames refer to them.
    large: Vec<Vec<Bytes>>,
    /// The bytes in them.
    size: usize,
    /// Those that are to wait for the next batch.
    later: VecDeque<(Packed, Vec<Bytes>)>,
    woken: bool,
}

impl Queue {
    /// Where a completion is written.
    pub fn packed(&mut self) -> &mut Packed {
        &mut self.packed
    }

    /// Adds a piece of a body.
    pub fn piece(&mut self, id: u32, data: Vec<Bytes>, last: bool, trailers: &HeaderMap) {
        let length = data.iter().map(Bytes::len).sum::<usize>();
        let mut frame = Packed::default();
        frame.frame(Kind::Chunk, id).u8(u8::from(last)).headers(trailers);
        if length < LARGE {
            self.packed.append(frame.u8(0).all(&data));
        } else {
            frame.u8(1).u32(u32::try_from(length).unwrap_or(u32::MAX));
            self.later.push_back((frame, data));
            self.admit();
        }
    }

    /// Whether JavaScript has to be told now that there is something: once a batch.
    pub fn wake(&mut self) -> bool {
        !std::mem::replace(&mut self.woken, true)
    }

    /// Whether JavaScript was told, and has not come yet.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.woken
    }

    /// Takes in what was to wait, as far as there is room.
    fn admit(&mut self) {
        while self.size < BATCH
            && let Some((frame, data)) = self.later.pop_front()
        {
            self.packed.append(&frame);
            self.size += data.iter().map(Bytes::len).sum::<usize>();
            self.large.push(data);
        }
    }

    /// The next batch, which says if there is another after it.
    pub fn batch(&mut self) -> (Packed, Vec<Vec<Bytes>>) {
        let (mut packed, large) =
            (std::mem::take(&mut self.packed), std::mem::take(&mut self.large));
        self.size = 0;
        self.admit();
        self.woken = !self.large.is_empty();
        if self.woken {
            packed.frame(Kind::More, 0);
        }
        (packed, large)
    }
}

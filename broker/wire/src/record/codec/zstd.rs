//! Zstandard bodies. The contexts are kept, as making one costs more than a small batch.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, compress_bound};

use super::{Fault, grow};

/// Largest window of the kept context, 8 MiB: what RFC 8878 §3.1.1.1.2 asks of every decoder and all levels up to 19
/// stay below.
const WINDOW_LOG_KEPT: u32 = 23;
/// Largest window at all, 128 MiB: zstd's own limit and therefore Kafka's; levels 20 to 22 declare it even for small
/// input.
const WINDOW_LOG_MAX: u32 = 27;
/// `ZSTD_error_frameParameter_windowTooLarge` of zstd_errors.h as a return code.
const WINDOW_TOO_LARGE: usize = 0_usize.wrapping_sub(16);
/// zstd's own default.
const LEVEL_DEFAULT: i32 = 3;

#[derive(Default)]
pub(super) struct Decoder {
    context: Option<DCtx<'static>>,
}

impl Decoder {
    pub(super) fn decompress(&mut self, block: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        if block.is_empty() {
            return Err(Fault::Corrupt);
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(context(WINDOW_LOG_KEPT)?),
        };
        match decompress_with(context, block, limit) {
            // Only the window is refused so far, hence nothing was produced and the second try costs no more.
            Err(Stop::Window) => decompress_with(&mut context_once()?, block, limit).map_err(Stop::fault),
            done => done.map_err(Stop::fault),
        }
    }
}

fn context_once() -> Result<DCtx<'static>, Fault> {
    context(WINDOW_LOG_MAX)
}

fn context(window_log: u32) -> Result<DCtx<'static>, Fault> {
    let mut context = DCtx::try_create().ok_or(Fault::Corrupt)?;
    context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(|_| Fault::Corrupt)?;
    Ok(context)
}

enum Stop {
    Fault(Fault),
    Window,
}

impl Stop {
    const fn fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Window => Fault::Corrupt,
        }
    }
}

fn decompress_with(context: &mut DCtx<'static>, block: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    context.reset(ResetDirective::SessionOnly).map_err(|_| Stop::Fault(Fault::Corrupt))?;
    let mut input = InBuffer::around(block);
    let mut out = Vec::new();
    loop {
        grow(&mut out, block.len(), limit);
        let before = (input.pos(), out.len());
        let at = out.len();
        let mut output = OutBuffer::around_pos(&mut out, at);
        let hint = context.decompress_stream(&mut output, &mut input).map_err(|code| match code {
            WINDOW_TOO_LARGE => Stop::Window,
            _ => Stop::Fault(Fault::Corrupt),
        })?;
        if out.len() > limit {
            return Err(Stop::Fault(Fault::TooLarge));
        }
        let is_frame_end = hint == 0;
        if is_frame_end && input.pos() == block.len() {
            return Ok(out);
        }
        // No progress with room to spare: the frame is cut.
        if before == (input.pos(), out.len()) && out.len() < out.capacity() {
            return Err(Stop::Fault(Fault::Corrupt));
        }
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    context: Option<CCtx<'static>>,
}

impl Encoder {
    pub(super) fn compress(&mut self, plain: &[u8], level: Option<i32>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(CCtx::try_create().ok_or(Fault::Corrupt)?),
        };
        context
            .set_parameter(CParameter::CompressionLevel(level.unwrap_or(LEVEL_DEFAULT)))
            .map_err(|_| Fault::Corrupt)?;
        let start = out.len();
        out.reserve_exact(compress_bound(plain.len()));
        let mut output = OutBuffer::around_pos(out, start);
        let mut input = InBuffer::around(plain);
        let left = context
            .compress_stream2(&mut output, &mut input, zstd::zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end)
            .map_err(|_| Fault::Corrupt)?;
        assert!(left == 0, "the bound of zstd holds a whole frame");
        Ok(())
    }
}

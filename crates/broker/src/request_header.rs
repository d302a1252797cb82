//! Reads a request's header in place, so that the body stays one mutable piece of the frame.
//! The layout is `RequestHeader` of the schemas; must not know bodies.

/// A request's header, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderView<'a> {
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<&'a str>,
    /// Where the body begins.
    pub(crate) body_at: usize,
}

/// API key and version, which stand first in every header.
pub(crate) fn key_and_version(frame: &[u8]) -> Option<(i16, i16)> {
    Some((i16_at(frame, 0)?, i16_at(frame, 2)?))
}

impl<'a> HeaderView<'a> {
    /// Reads a header of version 1, or (`flexible`) 2. `None` when the frame has none.
    pub(crate) fn parse(frame: &'a [u8], flexible: bool) -> Option<Self> {
        let correlation_id = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
        let mut at = 10;
        let client_id = match i16_at(frame, 8)? {
            -1 => None,
            len => {
                let end = at + usize::try_from(len).ok()?;
                let text = std::str::from_utf8(frame.get(at..end)?).ok()?;
                at = end;
                Some(text)
            }
        };
        if flexible {
            for _tag in 0..uvarint(frame, &mut at)? {
                uvarint(frame, &mut at)?;
                let size = usize::try_from(uvarint(frame, &mut at)?).ok()?;
                at = at.checked_add(size).filter(|end| *end <= frame.len())?;
            }
        }
        Some(Self { correlation_id, client_id, body_at: at })
    }
}

fn i16_at(frame: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

fn uvarint(frame: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *frame.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_versions() {
        let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 7, 0, 2, b'm', b'e'];
        assert_eq!(key_and_version(&frame), Some((3, 9)));
        let view = HeaderView::parse(&frame, false).unwrap();
        assert_eq!((view.correlation_id, view.client_id, view.body_at), (7, Some("me"), 12));
        frame.extend([1, 5, 2, 0xaa, 0xbb, 0xcc]);
        assert_eq!(HeaderView::parse(&frame, true).unwrap().body_at, 17);
    }

    #[test]
    fn damaged_headers_are_none() {
        for frame in [
            &[][..],
            &[0, 3, 0, 9, 0, 0, 0],
            &[0, 3, 0, 9, 0, 0, 0, 7, 0, 9, b'x'],
            &[0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xfe],
            &[0, 3, 0, 9, 0, 0, 0, 7, 0, 1, 0xff],
        ] {
            assert_eq!(HeaderView::parse(frame, false), None);
        }
        let endless = [0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(HeaderView::parse(&endless, true), None);
        let many = [0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(HeaderView::parse(&many, true), None);
    }
}

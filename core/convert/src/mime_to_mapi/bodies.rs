//! Which parts are the body and which are attachments (MS-OXCMAIL 2.2.3.2, 2.2.3.4).

use ringpost_mapi::{PropValue, PropertyBag, tags};

use super::parts;
use crate::{body::charset, structure::Part};

/// What each part of a message is for.
#[derive(Default)]
pub(super) struct Layout<'a> {
    /// The plain text body.
    pub(super) plain: Option<&'a Part>,
    /// The HTML body.
    pub(super) html: Option<&'a Part>,
    /// Everything else that has content, with its indexes from the message's root, and whether it is in
    /// `multipart/related`.
    pub(super) attachments: Vec<(Vec<u16>, &'a Part, bool)>,
}

impl<'a> Layout<'a> {
    /// A message that is one attachment.
    pub(super) fn attachment(root: &'a Part) -> Self {
        Self {
            attachments: vec![(Vec::new(), root, false)],
            ..Self::default()
        }
    }
}

/// Finds the bodies and attachments below a message's root.
pub(super) fn layout(root: &Part) -> Layout<'_> {
    let mut layout = Layout::default();
    visit(root, &mut Vec::new(), Place::default(), &mut layout);
    layout
}

#[derive(Clone, Copy, Default)]
struct Place {
    related: bool,
    /// Not the first part of a multipart: text here is an attachment unless it completes an alternative.
    later: bool,
}

fn visit<'a>(part: &'a Part, path: &mut Vec<u16>, place: Place, layout: &mut Layout<'a>) {
    let alternative = part.is("multipart", "alternative");
    let related = place.related || part.is("multipart", "related");
    let children = parts(part);
    if !children.is_empty() {
        for (index, child) in children.iter().enumerate() {
            let later = place.later || (index > 0 && !alternative);
            path.push(index as u16);
            visit(child, path, Place { related, later }, layout);
            path.pop();
        }
        return;
    }
    let multipart = part.media_type == b"multipart";
    if multipart && part.body.is_empty() {
        return;
    }
    let attached = part
        .disposition
        .as_ref()
        .is_some_and(|(kind, _)| kind == b"attachment");
    if !attached && !place.later {
        // A multipart whose boundary never comes is the text that it is.
        if (multipart || part.is("text", "plain")) && layout.plain.is_none() {
            layout.plain = Some(part);
            return;
        }
        if part.is("text", "html") && layout.html.is_none() {
            layout.html = Some(part);
            return;
        }
    }
    layout.attachments.push((path.clone(), part, related));
}

/// Sets what the bodies say of themselves; their content stays in the source.
pub(super) fn convert(layout: &Layout<'_>, bag: &mut PropertyBag) {
    // PidTagNativeBody: 1 plain text, 3 HTML (MS-OXCMSG 2.2.1.56.2).
    let native = match (layout.plain, layout.html) {
        (_, Some(_)) => 3,
        (Some(_), None) => 1,
        (None, None) => 0,
    };
    bag.set(tags::NATIVE_BODY, PropValue::Integer32(native));
    let body = layout.html.or(layout.plain);
    let page = body
        .and_then(|part| part.parameter("charset"))
        .map_or(65001, charset::code_page);
    bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(page as i32));
    bag.set(tags::MESSAGE_CODEPAGE, PropValue::Integer32(page as i32));
    if let Some(location) = body.and_then(|part| part.location.as_deref()) {
        let location = String::from_utf8_lossy(location).into_owned();
        bag.set(tags::BODY_CONTENT_LOCATION, PropValue::String(location));
    }
}

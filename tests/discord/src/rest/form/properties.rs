//! Reading bodies: properties over what nobody would think of.
//!
//! From: random headers and bytes, and forms that were whole before something was cut out of them. For: the promise that
//! no client can bring REST down, and that files are counted to the byte. Deliberately absent: HTTP.

use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// Media types of which some are read, with parameters that need not be right.
fn kind() -> impl Strategy<Value = HeaderValue> {
    let known = prop_oneof![
        Just("application/json".to_owned()),
        "application/json; charset=[a-z0-9-]{0,8}",
        "multipart/form-data; boundary=\"?[-A-Za-z0-9]{0,10}\"?",
        "multipart/form-data[ ;=a-z\"]{0,12}",
        Just("application/x-www-form-urlencoded".to_owned()),
        "[ -~]{0,30}",
    ];
    known.prop_map(|kind| HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static("text/plain")))
}

fn read(kind: HeaderValue, body: &[u8]) -> Result<Form, Unreadable> {
    read_form(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]), body)
}

/// A form of these files, as the libraries send it.
fn form(files: &[Vec<u8>]) -> Vec<u8> {
    let mut body =
        b"--X\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"hi\"}".to_vec();
    for (number, file) in files.iter().enumerate() {
        let head = format!(
            "\r\n--X\r\nContent-Disposition: form-data; name=\"files[{number}]\"; filename=\"{number}\"\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(file);
    }
    body.extend(b"\r\n--X--\r\n");
    body
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_of_any_kind_is_read_or_refused_with_a_reason(
        kind in kind(),
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        match read(kind, &body) {
            Ok(form) => prop_assert!(form.attachments.len() <= MOST_FILES),
            Err(unreadable) => prop_assert!(!unreadable.to_string().is_empty()),
        }
    }

    #[test]
    fn a_form_of_any_files_gives_their_sizes(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
    ) {
        prop_assume!(files.iter().all(|file| find(file, b"\r\n--X").is_none()));
        let form = read(HeaderValue::from_static("multipart/form-data; boundary=X"), &form(&files)).unwrap();
        prop_assert_eq!(&form.payload["content"], "hi");
        let sizes: Vec<_> = form.attachments.iter().filter_map(|file| file["size"].as_u64()).collect();
        prop_assert_eq!(sizes, files.iter().map(|file| file.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_form_with_something_cut_out_is_read_or_refused_with_a_reason(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..3),
        from in any::<proptest::sample::Index>(),
        length in 0_usize..40,
    ) {
        let mut body = form(&files);
        let from = from.index(body.len());
        body.drain(from..(from + length).min(body.len()));
        match read(HeaderValue::from_static("multipart/form-data; boundary=X"), &body) {
            Ok(form) => prop_assert!(form.attachments.len() <= MOST_FILES),
            Err(unreadable) => prop_assert!(!unreadable.to_string().is_empty()),
        }
    }
}

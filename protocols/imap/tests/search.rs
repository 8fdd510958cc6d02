//! SEARCH, SORT and THREAD.
mod support;

use support::*;

async fn three_messages(client: &mut ringpost_testhost::Client) {
    append(
        client,
        "INBOX",
        "(\\Seen) \"01-Feb-1994 00:00:00 +0000\" ",
        &message("Hello", "Smith <smith@x.test>", "the quick brown fox"),
    )
    .await;
    append(
        client,
        "INBOX",
        "(\\Flagged Work) \"03-Feb-1994 00:00:00 +0000\" ",
        &message("=?utf-8?Q?M=C3=BCll?=", "jones@y.test", "Gr\u{fc}\u{df}e"),
    )
    .await;
    append(
        client,
        "INBOX",
        "\"05-Feb-1994 00:00:00 +0000\" ",
        &message("Re: Hello", "adams@x.test", "lazy dog"),
    )
    .await;
    talk(client, "C: s SELECT INBOX\nS: …\nS: s OK …").await;
}

#[test]
fn helpers_search_what_a_step_collects_and_lines_are_compared_as_they_came() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for number in 0..40 {
            let id = match number {
                7 => "=?utf-8?q?Odd=2DOne?=".to_owned(),
                8 => "pdf".to_owned(),
                _ => format!("<{number}.ODD-{number}@x.test>"),
            };
            let filler = "filler ".repeat(if number == 9 { 50_000 } else { 5 });
            let mail = format!(
                "From: a@x.test\nMessage-ID: {id}\nX-Number: n{number}.\n\nbody n{number}. {filler}\n"
            );
            append(&mut client, "INBOX", "", &mail).await;
        }
        talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK …").await;
        let before = host.helper_calls();
        for (program, found) in [
            ("BODY N13.", "14"),
            ("NOT BODY filler", ""),
            ("OR BODY n39. BODY n9.", "10 40"),
            ("HEADER X-Number N21.", "22"),
            ("HEADER Message-ID <12.odd", "13"),
            ("HEADER Message-ID odd-one", "8"),
            ("HEADER Message-ID PDF", "9"),
            ("HEADER Message-ID nowhere", ""),
            ("FROM a@x HEADER Message-ID <3.odd", "4"),
            ("NOT HEADER Message-ID odd", "9"),
            ("HEADER References a", ""),
        ] {
            let expected = format!("* SEARCH {found}");
            let expected = expected.trim_end();
            talk(
                &mut client,
                &format!("C: a SEARCH {program}\nS: {expected}\nS: a OK …"),
            )
            .await;
        }
        assert!(host.helper_calls() >= before + 4, "helpers had nothing to do");
    });
}

#[test]
fn keys() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        three_messages(&mut client).await;
        for (program, found) in [
            ("ALL", "1 2 3"),
            ("SEEN", "1"),
            ("UNSEEN", "2 3"),
            ("KEYWORD work", "2"),
            ("UNKEYWORD Work", "1 3"),
            ("FLAGGED UNSEEN", "2"),
            ("NOT FLAGGED", "1 3"),
            ("OR SEEN FLAGGED", "1 2"),
            ("SINCE 3-Feb-1994", "2 3"),
            ("BEFORE 3-Feb-1994", "1"),
            ("ON 3-Feb-1994", "2"),
            ("SENTON 17-Jul-1996", "1 2 3"),
            ("SENTBEFORE 17-Jul-1996", ""),
            ("LARGER 10000", ""),
            ("SMALLER 10000", "1 2 3"),
            ("FROM smith", "1"),
            ("FROM \"SMITH <SMITH@\"", "1"),
            ("TO cac", "1 2 3"),
            ("SUBJECT m\u{fc}ll", "2"),
            ("HEADER Content-Type utf", "1 2 3"),
            ("HEADER X-None \"\"", ""),
            ("BODY BROWN", "1"),
            ("BODY hello", ""),
            ("TEXT hello", "1 3"),
            ("TEXT DOG", "3"),
            ("CHARSET utf-8 BODY gr\u{fc}\u{df}e", "2"),
            ("BODY \"\"", "1 2 3"),
            ("NOT BODY fox", "2 3"),
            ("OR BODY fox BODY dog", "1 3"),
            ("2:*", "2 3"),
            ("UID 1,3", "1 3"),
            ("OLDER 60", "1 2 3"),
            ("YOUNGER 60", ""),
            ("RECENT", "1 2 3"),
            ("NEW", "2 3"),
            ("OLD", ""),
            ("EMAILID Mx", ""),
            ("THREADID T", ""),
            ("(SEEN) NOT (UNSEEN)", "1"),
        ] {
            let expected = if found.is_empty() {
                "* SEARCH".to_owned()
            } else {
                format!("* SEARCH {found}")
            };
            talk(
                &mut client,
                &format!("C: a SEARCH {program}\nS: {expected}\nS: a OK …"),
            )
            .await;
        }
        talk(
            &mut client,
            "C: b SEARCH CHARSET klingon ALL
             S: b NO [BADCHARSET (US-ASCII UTF-8)] …
             C: c SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN
             S: * ESEARCH (TAG \"c\") MIN 2 MAX 3 ALL 2:3 COUNT 2
             S: c OK …
             C: d UID SEARCH RETURN () DELETED
             S: * ESEARCH (TAG \"d\") UID
             S: d OK …
             C: e SEARCH RETURN (SAVE) FLAGGED
             S: e OK …
             C: f FETCH $ UID
             S: * 2 FETCH (UID 2)
             S: f OK …
             C: g SEARCH RETURN (SAVE MIN) ALL
             S: * ESEARCH (TAG \"g\") MIN 1
             S: g OK …
             C: h SEARCH $
             S: * SEARCH 1
             S: h OK …
             C: i SEARCH MODSEQ 1
             S: * OK [HIGHESTMODSEQ …
             S: * SEARCH 1 2 3 (MODSEQ …
             S: i OK …",
        )
        .await;
    });
}

#[test]
fn sort_and_thread() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        three_messages(&mut client).await;
        talk(
            &mut client,
            "C: a SORT (FROM) UTF-8 ALL
             S: * SORT 3 2 1
             S: a OK …
             C: b UID SORT (REVERSE ARRIVAL) UTF-8 ALL
             S: * SORT 3 2 1
             S: b OK …
             C: c SORT (SUBJECT REVERSE ARRIVAL) US-ASCII ALL
             S: * SORT 3 1 2
             S: c OK …
             C: d SORT (DISPLAYFROM) UTF-8 ALL
             S: * SORT 3 2 1
             S: d OK …
             C: e SORT RETURN (MIN COUNT) (DISPLAYFROM) UTF-8 ALL
             S: * ESEARCH (TAG \"e\") MIN 3 COUNT 3
             S: e OK …
             C: f THREAD REFERENCES UTF-8 ALL
             S: * THREAD (1 3)(2)
             S: f OK …
             C: g UID THREAD ORDEREDSUBJECT UTF-8 ALL
             S: * THREAD (1 3)(2)
             S: g OK …
             C: h THREAD REFERENCES UTF-8 DELETED
             S: * THREAD
             S: h OK …",
        )
        .await;
    });
}

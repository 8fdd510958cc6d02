//! SAVEDATE (RFC 8514): its example dialogues, adapted; what sets the date, and what leaves it.

mod support;

use ringpost_mapi::{
    FileTime,
    calendar::{MONTHS, civil_from_days, days_from_civil},
};
use ringpost_testhost::TestHost;
use support::*;

/// Seconds from 1601, where FILETIME begins, to 1970.
const EPOCH: i64 = 11_644_473_600;

/// Closes the mailbox, and lets its messages have been saved at a time (seconds since 1970); `None`: as an older
/// version left them.
fn saved_at(host: &TestHost, uid: u32, time: Option<i64>) {
    host.close_mailboxes();
    let path = host.accounts().mailbox("smith@example.test").path;
    let database = rusqlite::Connection::open(path.join("exmdb/exchange.sqlite3")).unwrap();
    let changed = database
        .execute(
            "UPDATE messages SET saved = ?2 - received / 10000000 WHERE uid = ?1",
            rusqlite::params![uid, time.map(|time| time + EPOCH)],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

fn seconds(year: i64, month: i64, day: i64, second: i64) -> i64 {
    days_from_civil(year, month, day) * 86_400 + second
}

/// Today as SEARCH has it, and so many days later.
fn day(later: i64) -> String {
    let (year, month, day) = civil_from_days(FileTime::now().unix_seconds().div_euclid(86_400) + later);
    format!("{day}-{}-{year:04}", MONTHS[(month - 1) as usize])
}

/// Three messages of which the first was saved on 1 January 2015, the second on 28 December 2014, and the third by an
/// older version.
async fn three(host: &TestHost) {
    let mut client = login(host).await;
    for (name, date) in [
        ("one", "1-Feb-1994"),
        ("two", "2-Feb-1994"),
        ("three", "28-Dec-2014"),
    ] {
        let options = format!("(\\Seen) \"{date} 10:00:00 +0000\" ");
        append(&mut client, "INBOX", &options, &message(name, "a@b", "text")).await;
    }
    let saved = [
        Some(seconds(2015, 1, 1, 17 * 3600 + 50 * 60 + 53)),
        Some(seconds(2014, 12, 28, 86_399)),
        None,
    ];
    for (uid, time) in (1..).zip(saved) {
        saved_at(host, uid, time);
    }
}

#[test]
fn rfc_8514_save_date() {
    let host = host();
    host.run(async {
        three(&host).await;
        let mut client = select(&host).await;
        talk(
            &mut client,
            r#"C: A101 FETCH 1 (SAVEDATE)
            S: * 1 FETCH (SAVEDATE " 1-Jan-2015 17:50:53 +0000")
            S: A101 OK …
            C: A102 SEARCH SAVEDON 28-Dec-2014
            S: * SEARCH 2 3
            S: A102 OK …
            C: A103 SEARCH SAVEDSINCE 28-Dec-2014
            S: * SEARCH 1 2 3
            S: A103 OK …
            C: A104 SEARCH SAVEDBEFORE 1-Jan-2015
            S: * SEARCH 2 3
            S: A104 OK …
            C: A105 SEARCH SAVEDATESUPPORTED
            S: * SEARCH 1 2 3
            S: A105 OK …
            C: A106 SEARCH NOT SAVEDATESUPPORTED
            S: * SEARCH
            S: A106 OK …
            C: A107 UID FETCH 1:* (INTERNALDATE SAVEDATE)
            S: * 1 FETCH (UID 1 INTERNALDATE " 1-Feb-1994 10:00:00 +0000" SAVEDATE " 1-Jan-2015 17:50:53 +0000")
            S: * 2 FETCH (UID 2 INTERNALDATE " 2-Feb-1994 10:00:00 +0000" SAVEDATE "28-Dec-2014 23:59:59 +0000")
            S: * 3 FETCH (UID 3 INTERNALDATE "28-Dec-2014 10:00:00 +0000" SAVEDATE NIL)
            S: A107 OK …"#,
        )
        .await;
    });
}

/// Together with other keys, in every command that searches, with and without an index.
#[test]
fn it_goes_with_other_keys() {
    let host = host();
    host.run(async {
        three(&host).await;
        let mut client = login(&host).await;
        for name in ["four", "five"] {
            append(&mut client, "INBOX", "", &message(name, "a@b", "text")).await;
        }
        let (today, tomorrow) = (day(0), day(1));
        talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK [READ-WRITE] …").await;
        for (program, found) in [
            (format!("SAVEDSINCE {today}"), "4 5"),
            (format!("SAVEDON {today}"), "4 5"),
            (format!("SAVEDBEFORE {tomorrow}"), "1 2 3 4 5"),
            ("SEEN SAVEDSINCE 1-Jan-2015".to_owned(), "1"),
            ("OR SAVEDON 1-Jan-2015 UNSEEN SUBJECT \"o\"".to_owned(), "1 4"),
            ("NOT SAVEDSINCE 29-Dec-2014 TEXT TEXT".to_owned(), "2 3"),
            ("SAVEDATESUPPORTED 2:3 BODY text".to_owned(), "2 3"),
            ("SAVEDBEFORE 28-Dec-2014".to_owned(), ""),
        ] {
            let expected = format!("* SEARCH {found}");
            let expected = expected.trim_end();
            talk(
                &mut client,
                &format!("C: a SEARCH {program}\nS: {expected}\nS: a OK …"),
            )
            .await;
        }
        talk(
            &mut client,
            "C: b UID SEARCH RETURN (MIN COUNT) SAVEDBEFORE 1-Jan-2016
             S: * ESEARCH (TAG \"b\") UID MIN 1 COUNT 3
             S: b OK …
             C: c SORT RETURN (ALL) (REVERSE ARRIVAL) UTF-8 SAVEDBEFORE 1-Jan-2016
             S: * ESEARCH (TAG \"c\") ALL 3,2,1
             S: c OK …
             C: d SEARCH RETURN (SAVE) SAVEDON 28-Dec-2014
             S: d OK …
             C: e FETCH $ (SAVEDATE FLAGS)
             S: * 2 FETCH (SAVEDATE \"28-Dec-2014 23:59:59 +0000\" FLAGS (\\Seen \\Recent))
             S: * 3 FETCH (SAVEDATE NIL FLAGS (\\Seen \\Recent))
             S: e OK …
             C: f THREAD ORDEREDSUBJECT UTF-8 SAVEDON 1-Jan-2015
             S: * THREAD (1)
             S: f OK …
             C: g SEARCH SAVEDON yesterday
             S: g BAD …",
        )
        .await;
    });
}

/// Copying, moving and appending set it, flags and a restart don't.
#[test]
fn what_sets_it() {
    let host = host();
    host.run(async {
        three(&host).await;
        let mut client = select(&host).await;
        let today = day(0);
        talk(
            &mut client,
            &format!(
                r#"C: a STORE 1:3 +FLAGS.SILENT (\Flagged work)
                S: …
                S: a OK …
                C: b CREATE Archive
                S: …
                S: b OK …
                C: c COPY 1,3 Archive
                S: …
                S: c OK …
                C: d MOVE 2 Archive
                S: …
                S: d OK …
                C: e RENAME Archive Older
                S: …
                S: e OK …
                C: f FETCH 1:* SAVEDATE
                S: * 1 FETCH (SAVEDATE " 1-Jan-2015 17:50:53 +0000")
                S: * 2 FETCH (SAVEDATE NIL)
                S: f OK …
                C: g EXAMINE Older
                S: …
                S: g OK …
                C: h SEARCH SAVEDON {today}
                S: * SEARCH 1 2 3
                S: h OK …
                C: i FETCH 1:* INTERNALDATE
                S: * 1 FETCH (INTERNALDATE " 1-Feb-1994 10:00:00 +0000")
                S: * 2 FETCH (INTERNALDATE "28-Dec-2014 10:00:00 +0000")
                S: * 3 FETCH (INTERNALDATE " 2-Feb-1994 10:00:00 +0000")
                S: i OK …"#
            ),
        )
        .await;
    });
}

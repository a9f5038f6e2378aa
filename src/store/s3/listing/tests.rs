use super::*;

fn page(text: &str) -> Option<std::result::Result<Page, Failure>> {
    parse_page(text)
}

#[test]
fn pages_are_read_whatever_namespace_they_have() {
    let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b\
                </Name><Prefix></Prefix><IsTruncated>true</IsTruncated><Contents><Key>one</Key></Contents><Contents>\
                <ETag>&quot;x&quot;</ETag><Key>t&amp;wo</Key></Contents><NextContinuationToken>a&lt;b\
                </NextContinuationToken></ListBucketResult>";
    for text in [text.to_owned(), text.replace(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"", "")] {
        let page = page(&text).expect("a page").expect("good");
        let keys: Vec<_> = page.objects.iter().map(|object| &object.key[..]).collect();
        assert_eq!((keys, page.next), (vec!["one", "t&wo"], Some("a<b".into())));
    }
}

#[test]
fn sizes_and_dates_are_read_if_the_server_tells_them() {
    let text = "<ListBucketResult><Contents><Key>one</Key><Size>42</Size><LastModified>2026-11-28T02:15:33.000Z\
                </LastModified></Contents><Contents><Key>two</Key><Size>-1</Size><LastModified>soon</LastModified>\
                </Contents></ListBucketResult>";
    let object = |key: &str, bytes, stored| Object { key: key.into(), bytes, stored };
    let found = page(text).expect("a page").expect("good").objects;
    assert_eq!(found, [object("one", Some(42), Some(1_795_832_133)), object("two", None, None)]);
}

#[test]
fn the_last_page_has_no_next() {
    let last = "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>\
                </ListBucketResult>";
    assert_eq!(page(last).expect("a page").expect("good").next, None);
    assert!(page("<ListBucketResult/>").expect("a page").expect("good").objects.is_empty());
}

#[test]
fn half_a_page_is_none_and_a_listing_without_end_is_an_error() {
    assert!(page("<ListBucketResult><Contents><Key>one</Key></Contents>").is_none(), "cut off");
    assert!(page("<html>Welcome</html>").is_none());
    assert!(page("").is_none());
    let lost = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    assert!(page(lost).expect("a page").is_err());
}

fn follow(course: &mut Course, keys: &[&str], next: Option<&str>) -> std::result::Result<(), String> {
    let object = |key: &&str| Object { key: (*key).into(), bytes: None, stored: None };
    let page = Page { objects: keys.iter().map(object).collect(), next: next.map(str::to_owned) };
    course.follow(&page).map_err(|failure| failure.reason.line())
}

#[test]
fn a_listing_that_goes_in_circles_comes_to_an_end() {
    let mut same = Course::default();
    follow(&mut same, &["a"], Some("1")).expect("the first");
    assert!(follow(&mut same, &["b"], Some("1")).expect_err("once more").contains("same page"));

    let mut circle = Course::default();
    follow(&mut circle, &["a", "b"], Some("1")).expect("the first");
    follow(&mut circle, &["c"], Some("2")).expect("the second");
    assert!(follow(&mut circle, &["a", "b"], Some("3")).expect_err("again").contains("order of keys"));

    let mut nothing = Course::default();
    let pages = (1..).take_while(|n| follow(&mut nothing, &[], Some(&n.to_string())).is_ok()).count();
    assert_eq!(pages, MOST_EMPTY as usize);
}

#[test]
fn pages_in_order_are_followed_to_the_last() {
    let mut course = Course::default();
    for (keys, next) in [(&["b", "a"][..], Some("1")), (&[], Some("2")), (&["c"], Some("3")), (&["d"], None)]
    {
        follow(&mut course, keys, next).expect("in order");
        assert_eq!(course.token(), next);
    }
}

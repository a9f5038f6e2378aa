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
        assert_eq!((page.keys, page.next), (vec!["one".into(), "t&wo".into()], Some("a<b".into())));
    }
}

#[test]
fn the_last_page_has_no_next() {
    let last = "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>\
                </ListBucketResult>";
    assert_eq!(page(last).expect("a page").expect("good").next, None);
    assert!(page("<ListBucketResult/>").expect("a page").expect("good").keys.is_empty());
}

#[test]
fn half_a_page_is_none_and_a_listing_without_end_is_an_error() {
    assert!(page("<ListBucketResult><Contents><Key>one</Key></Contents>").is_none(), "cut off");
    assert!(page("<html>Welcome</html>").is_none());
    assert!(page("").is_none());
    let lost = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    assert!(page(lost).expect("a page").is_err());
}

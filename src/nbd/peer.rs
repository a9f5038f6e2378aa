//! Finds the user who runs a client on this host. Every user of the host can reach the loopback ports, but not every
//! user may read the data.

use super::socket::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

/// The kernel's lists of the TCP sockets of this host.
const LISTS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state of an established connection.
const ESTABLISHED: &str = "01";

/// Refuses every client but those of root and of the user that this process runs as. If the user cannot be found out,
/// the client is refused, too.
///
/// # Errors
/// A text that names the user, or says why it could not be found out.
pub(super) fn check(socket: &Socket) -> Result<(), String> {
    let uid = match socket {
        Socket::Unix(unix) => socket_peercred(unix).map(|peer| peer.uid.as_raw()).map_err(io::Error::from),
        Socket::Tcp(tcp, from) => owner(tcp, *from),
    };
    let own = geteuid().as_raw();
    match uid {
        Ok(uid) if uid == 0 || uid == own => Ok(()),
        Ok(uid) => Err(format!(
            "it belongs to the user with uid {uid}, and only root and the server's own user may connect"
        )),
        Err(why) => Err(format!(
            "its user cannot be determined ({why}), and only root and the server's own user may connect"
        )),
    }
}

/// The uid of the user at the other end of a connection within this host.
fn owner(tcp: &TcpStream, from: SocketAddr) -> io::Result<u32> {
    let here = tcp.local_addr()?;
    let mut found = Err(io::Error::other("its socket no longer exists"));
    for list in LISTS {
        // Without IPv6 there is only one list.
        let Ok(text) = fs::read_to_string(list) else { continue };
        if let Some(uid) = text.lines().skip(1).find_map(|line| line_of(line, from, here)) {
            found = Ok(uid);
            break;
        }
    }
    let uid = found?;
    // While this end is open, no other connection can have had the same two addresses.
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut events = [PollFd::from_borrowed_fd(tcp.as_fd(), PollFlags::RDHUP)];
    match poll(&mut events, Some(&now)) {
        Ok(0) => Ok(uid),
        Ok(_) => Err(io::Error::other("it has left")),
        Err(error) => Err(error.into()),
    }
}

/// The owner of the socket in a line, if a process has it open and it has these addresses. The kernel shows a closed
/// socket as root's, regardless of its owner, so closed sockets do not count.
fn line_of(line: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, from, to, state, _, _, _, uid, _, inode, ..] = fields[..] else { return None };
    let is_it = address(from)? == plain(local) && address(to)? == plain(remote);
    (is_it && state == ESTABLISHED && inode != "0").then(|| uid.parse().ok())?
}

/// Parses an address like `0100007F:1F90`: words of four bytes in the byte order of this machine, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some(plain(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

/// The address without IPv6 scope, and as IPv4 if it is an IPv4 address mapped into IPv6.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LINE: &str = "   7: 0100007F:A3F2 0100007F:2A39 01 00000000:00000000 00:00000000 00000000  1000        0 \
                        283113 1 0000000000000000 20 4 30 10 -1";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_owner_stands_in_the_line_with_both_addresses() {
        let at = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        assert_eq!(line_of(LINE, at(0xa3f2), at(0x2a39)), Some(1000));
        let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), 0xa3f2);
        assert_eq!(line_of(LINE, mapped, at(0x2a39)), Some(1000));
        assert_eq!(line_of(LINE, at(0x2a39), at(0xa3f2)), None, "the server's own end");
        assert_eq!(line_of(LINE, at(0xa3f3), at(0x2a39)), None);
        let mapped = LINE.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert_eq!(line_of(&mapped, at(0xa3f2), at(0x2a39)), Some(1000));
        // A socket that its process has closed: the kernel shows it as root's.
        assert_eq!(line_of(&LINE.replace(" 01 ", " 04 "), at(0xa3f2), at(0x2a39)), None);
        assert_eq!(line_of(&LINE.replace("283113", "0"), at(0xa3f2), at(0x2a39)), None);
        for bad in ["", "1: x y 01", "  7: 0100007F 0100007F:2A39 01 0 0 0 1000 0 283113"] {
            assert_eq!(line_of(bad, at(0xa3f2), at(0x2a39)), None);
        }
    }

    #[test]
    fn the_user_of_a_client_is_known_until_it_leaves() {
        for host in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let port = listener.local_addr().expect("bound").port();
            let to = if host.starts_with("[::1]") { "::1" } else { "127.0.0.1" };
            let client = TcpStream::connect((to, port)).expect("connected");
            let (accepted, from) = listener.accept().expect("accepted");
            assert_eq!(owner(&accepted, from).expect("known"), geteuid().as_raw(), "{host}");
            drop(client);
            owner(&accepted, from).expect_err("it has left");
        }
    }
}

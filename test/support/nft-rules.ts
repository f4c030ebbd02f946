/** @module Every form of table, set, object and rule that nft 1.0.6 writes, for tests that read them back. Needs the device lo. */

/** Loads on every kernel with nf_tables. */
export const objects = `table inet t {
  comment "a table"
  set addresses {
    type ipv4_addr; flags interval; auto-merge; comment "a set"
    elements = { 10.0.0.0/8 comment "ten", 192.0.2.1-192.0.2.9 }
  }
  set pairs {
    type ipv4_addr . inet_service; flags interval
    elements = { 10.0.0.0/8 . 1-5 comment "pipapo", 192.0.2.1 . 80 }
  }
  set plain { type ipv6_addr . mark; elements = { 2001:db8::1 . 0x7 }; }
  set timed {
    type inet_service; flags timeout; timeout 1h; gc-interval 10s; size 128
    elements = { 22 timeout 30m }
  }
  set seen { type ipv4_addr; flags dynamic, timeout; timeout 1m; size 1024; }
  set counted { type inet_service; counter; elements = { 53 counter packets 7 bytes 700 }; }
  set bits { type mark; flags interval; elements = { 16-31 }; }
  map verdicts {
    type inet_service : verdict
    elements = { 80 : accept, 81 : jump user, 82 : goto user, * : drop }
  }
  map marks { type ifname : mark; elements = { "eth0" : 0x10, "eth1" : 0x20 }; }
  map objects { type inet_service : counter; elements = { 25 : "c" }; }
  counter c { comment "an object"; packets 3 bytes 300; }
  quota q { over 1 mbytes used 5 bytes; }
  limit l { rate over 10/second burst 3 packets; }
  chain user { comment "a chain"; }
  chain input { type filter hook input priority filter - 5; policy drop; }
  chain prerouting { type filter hook prerouting priority raw; }
  chain forward { type filter hook forward priority mangle; }
  chain ingress { type filter hook ingress device "lo" priority 0; }
}
table ip nat {
  map backends {
    type inet_service : ipv4_addr . inet_service
    elements = { 80 : 10.0.0.1 . 8080 }
  }
  chain prerouting { type nat hook prerouting priority dstnat; }
  chain postrouting { type nat hook postrouting priority srcnat; }
  chain output { type route hook output priority mangle; }
}
table ip6 sleeping {
  flags dormant
  chain c { type filter hook input priority 0; policy drop; }
}
table arp a { chain c { type filter hook input priority 0; }; }
table bridge b { chain c { type filter hook forward priority 0; }; }
table netdev n { chain in { type filter hook ingress device "lo" priority 0; }; }
`;

/** Objects that want something more of the kernel, each to be loaded by itself. */
export const rareObjects = [
  'add synproxy inet t sp { mss 1460; wscale 7; timestamp sack-perm; }',
  'add ct helper inet t ftp { type "ftp" protocol tcp; }',
  'add ct timeout inet t short { protocol tcp; l3proto ip; policy = { established : 132, close : 12 }; }',
  'add ct expectation inet t expect { protocol tcp; dport 9876; timeout 2m; size 12; l3proto ip; }',
  'add flowtable inet t ft { hook ingress priority 5; devices = { lo }; }',
  'add chain netdev n out { type filter hook egress device "lo" priority 0; }',
];

/** By chain; each rule is to be loaded by itself, since a kernel may lack what one of them wants. */
export const rules: Readonly<Record<string, readonly string[]>> = {
  'inet t user': ['return'],
  'inet t input': [
    'iif "lo" accept comment "the loopback"',
    'ct state established,related accept',
    'ct state vmap { invalid : drop, new : continue }',
    'ip saddr 10.0.0.1 tcp dport 22 accept',
    'ip saddr & 255.0.0.255 == 10.0.0.1 drop',
    'ip saddr != 10.0.0.0/8 drop',
    'ip6 saddr != fe80::/10 drop',
    'tcp dport 1000-2000 accept',
    'tcp dport != 1000-2000 accept',
    'tcp dport > 60000 drop',
    'tcp dport { 22, 80-90 } accept',
    'tcp dport != { 1, 2 } accept',
    'tcp flags & (syn | ack) == syn accept',
    'tcp option maxseg size 1-500 drop',
    'tcp option sack-perm exists drop',
    'reset tcp option fastopen',
    'ip option rr type 7 drop',
    'exthdr frag exists drop',
    'frag frag-off 5 drop',
    'rt type 0 drop',
    'sctp chunk data exists drop',
    'udp length > 1000 counter packets 5 bytes 6 drop',
    'icmp type { echo-request, echo-reply } accept',
    'icmpv6 type nd-neighbor-solicit accept',
    'ip dscp 0x2e accept',
    'ip6 flowlabel 0x12345 accept',
    'ip version 4 ip hdrlength 5 accept',
    '@th,16,16 0x1234 accept',
    '@nh,12,20 0x12345 accept',
    '@ih,32,32 0x14000000 accept',
    'ip saddr @addresses accept',
    'ip saddr != @addresses drop',
    'ip saddr . tcp dport @pairs accept',
    'ip6 saddr . meta mark @plain accept',
    'tcp dport vmap @verdicts',
    'meta mark set iifname map @marks',
    'meta mark set meta mark & 0xff00 | 0x12',
    'meta mark set ct mark << 8',
    'ct mark set meta mark >> 4',
    'ct mark set ct mark ^ 0xff',
    'ct state new ct direction original ct status snat accept',
    'ct original ip saddr 10.0.0.1 accept',
    'meta l4proto tcp ct reply proto-dst 80 accept',
    'ct bytes > 1000 ct original packets < 5 accept',
    'ct expiration 1h-2h accept',
    'ct helper "ftp" accept',
    'ct zone 1 accept',
    'ct label 1 accept',
    'ct l3proto ipv4 ct protocol tcp accept',
    'ct id 7 accept',
    'meta l4proto tcp ct helper set "ftp"',
    'ct expectation set "expect"',
    'ct timeout set "short"',
    'meta length > 100 meta protocol ip meta priority 1:2 accept',
    'iifname "eth*" oifname != "wlan0" accept',
    'meta iiftype ether meta skuid 1000-2000 meta skgid 5 accept',
    'meta nfproto ipv6 meta l4proto { tcp, udp } accept',
    'meta pkttype broadcast meta cpu 1 meta iifgroup 3 accept',
    'meta cgroup 1 accept',
    'meta random < 0.5 accept',
    'rtclassid 5 accept',
    'meta iifkind "veth" accept',
    'meta sdif 1 meta sdifname "vrf0" accept',
    'meta time "2026-01-01" - "2027-01-01" accept',
    'meta day Monday meta hour "08:00" - "17:00" accept',
    'meta ipsec exists accept',
    'meta nftrace set 1',
    'meta priority set 1:2 meta pkttype set host',
    'fib saddr . iif oif missing drop',
    'fib daddr . iif type local accept',
    'fib saddr . mark oifname "eth0" accept',
    'fib daddr type { broadcast, multicast } drop',
    'limit rate 10/second burst 5 packets accept',
    'limit rate over 100 kbytes/minute drop',
    'limit name "l" drop',
    'quota 25 mbytes accept',
    'quota over 10 bytes used 3 bytes drop',
    'quota name "q" drop',
    'ct count over 5 reject',
    'counter name "c"',
    'counter name tcp dport map @objects',
    'synproxy mss 1460 wscale 7 timestamp sack-perm',
    'synproxy name "sp"',
    'log prefix "hello " level debug flags all',
    'log group 3 snaplen 64 queue-threshold 5 prefix "nf"',
    'log',
    'reject',
    'reject with icmpx type admin-prohibited',
    'meta l4proto tcp reject with tcp reset',
    'meta nfproto ipv4 reject with icmp type host-unreachable',
    'meta nfproto ipv6 reject with icmpv6 type no-route',
    'add @seen { ip saddr limit rate 3/minute } accept',
    'update @seen { ip saddr timeout 5m counter } accept',
    'delete @seen { ip saddr }',
    'meta mark set jhash ip saddr . tcp dport mod 8 seed 0xdead offset 3',
    'meta mark set symhash mod 4',
    'meta mark set numgen random mod 10',
    'meta mark set numgen inc mod 3 offset 100',
    'socket transparent 1 socket mark 5 socket wildcard 0 accept',
    'osf name "Linux" accept',
    'osf ttl skip version "Linux:3.0" accept',
    'rt ip nexthop 10.0.0.1 accept',
    'rt ip6 nexthop fe80::1 accept',
    'rt ipsec exists accept',
    'ipsec in ip saddr 10.0.0.1 ipsec in reqid 5 accept',
    'ether saddr 00:11:22:33:44:55 accept',
    'ip ttl set 5',
    'ip dscp set cs1',
    'tcp option maxseg size set 1400',
    'udp dport set 53',
    'ip6 hoplimit set 7',
    'iifname . ip saddr { "eth0" . 10.0.0.1, "eth1" . 10.0.0.2 } accept',
    'ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.2 . 23 : drop }',
    'meta mark set tcp dport map { 22 : 1, 80-90 : 2 }',
    'meta mark @bits accept',
    'tcp dport 81 jump user',
    'tcp dport 82 goto user',
    'tcp dport 83 return',
    'tcp dport 84 continue',
    'tcp dport 85 queue num 3 bypass',
    'tcp dport 86 queue flags bypass,fanout to 1-4',
    'tcp dport 87 queue to symhash mod 4',
    'tcp dport 88 jump { udp dport 1 accept; drop; }',
    'ip length vmap { 0-100 : drop, 101-200 : accept }',
  ],
  'inet t prerouting': [
    'notrack',
    'ct zone set 5',
    'ct label set 3',
    'meta l4proto tcp tproxy to :50080',
    'meta l4proto tcp tproxy ip to 127.0.0.1:50080',
    'meta l4proto udp tproxy ip6 to [::1]:50080',
  ],
  'inet t forward': [
    'tcp flags syn tcp option maxseg size set rt mtu',
    'meta l4proto tcp flow add @ft',
  ],
  'inet t ingress': ['meta protocol arp accept', 'vlan id 5 accept'],
  'ip nat prerouting': [
    'dnat to 10.0.0.1',
    'tcp dport 80 dnat to 10.0.0.1:8080',
    'tcp dport 81 dnat to 10.0.0.1-10.0.0.9:1000-2000 random,persistent',
    'meta l4proto tcp dnat to tcp dport map @backends',
    'dnat ip prefix to ip daddr map { 10.1.0.0/16 : 10.2.0.0/16 }',
    'tcp dport 82 redirect to :8082',
    'redirect',
    'tcp dport 83 dnat to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }',
  ],
  'ip nat postrouting': [
    'snat to 10.0.0.2',
    'masquerade',
    'meta l4proto tcp masquerade to :1024-2048 fully-random',
  ],
  'ip nat output': ['meta mark set 5', 'dup to 10.0.0.7 device "lo"'],
  'ip6 sleeping c': ['ip6 daddr ::1 drop'],
  'arp a c': ['arp operation request arp saddr ip 10.0.0.1 arp htype 1 accept'],
  'bridge b c': [
    'meta ibrname "br0" meta obrname "br1" drop',
    'meta ibrpvid 5 meta ibrvproto 8021q accept',
    'reject with icmpx type port-unreachable',
  ],
  'netdev n in': ['fwd to "lo"', 'dup to "lo"', 'fwd ip to 10.0.0.1 device "lo"'],
  'netdev n out': ['ether type ip drop'],
};

// Half of a stream of 64-byte UDP datagrams, for the overhead benchmark: `sink ADDRESS PORT` takes them and reads none, `source ADDRESS PORT`
// sends for as many milliseconds as each line of its input says, and prints how many a second went. A veth delivers within the sender's
// system call, so what is timed is the whole way of a datagram and no scheduler has a say.
import { createInterface } from 'node:readline';
import koffi from 'koffi';

const [role, address, port] = process.argv.slice(2);
const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const send = libc.func('long send(int fd, const uint8_t *bytes, size_t length, int flags)');
const AF_INET = 2;
const SOCK_DGRAM = 2;
const batch = 64;

const fd = socket(AF_INET, SOCK_DGRAM, 0);
// sockaddr_in: family (host order), port and address (network order), padding.
const name = Buffer.alloc(16);
name.writeUInt16LE(AF_INET, 0);
name.writeUInt16BE(Number(port), 2);
name.set(address.split('.').map(Number), 4);
const join = libc.func(
  `int ${role === 'sink' ? 'bind' : 'connect'}(int fd, const uint8_t *name, uint32_t length)`,
);
if (join(fd, name, name.length) !== 0) throw new Error(`${role} ${address}:${port} refused`);
console.log('ready');

const payload = Buffer.alloc(64);
for await (const line of createInterface({ input: process.stdin })) {
  const started = process.hrtime.bigint();
  const end = started + BigInt(Math.round(Number(line) * 1e6));
  let sent = 0;
  let now = started;
  while (now < end) {
    for (let i = 0; i < batch; i++) if (send(fd, payload, payload.length, 0) > 0) sent++;
    now = process.hrtime.bigint();
  }
  console.log(String(sent / (Number(now - started) / 1e9)));
}

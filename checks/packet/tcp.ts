/** @module TCP headers (RFC 9293 section 3.1), as the watch for a SYN reads them. */
import { viewOf } from './bytes.ts';

/** Length of a TCP header without options. */
export const tcpHeaderBytes = 20;

/** The control bits that tell what a segment is. */
export interface TcpFlags {
  readonly fin: boolean;
  readonly syn: boolean;
  readonly rst: boolean;
  readonly psh: boolean;
  readonly ack: boolean;
  readonly urg: boolean;
}

/** A TCP segment. `payload` is a view of the input. */
export interface Tcp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: TcpFlags;
  readonly payload: Uint8Array;
}

/**
 * Decodes a segment; undefined when its header is cut short.
 *
 * Layout: source port 2 · destination port 2 · sequence number 4 · acknowledgement number 4 · header length in words
 * 4 bits, reserved 4 · control bits 1 (CWR ECE URG ACK PSH RST SYN FIN) · window 2 · checksum 2 · urgent pointer 2 · options ·
 * payload.
 */
export function decodeTcp(bytes: Uint8Array): Tcp | undefined {
  if (bytes.length < tcpHeaderBytes) return undefined;
  const view = viewOf(bytes);
  const headerBytes = (view.getUint8(12) >> 4) * 4;
  if (headerBytes < tcpHeaderBytes || headerBytes > bytes.length) return undefined;
  const bits = view.getUint8(13);
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    sequence: view.getUint32(4),
    acknowledgement: view.getUint32(8),
    flags: {
      fin: (bits & 0x01) !== 0,
      syn: (bits & 0x02) !== 0,
      rst: (bits & 0x04) !== 0,
      psh: (bits & 0x08) !== 0,
      ack: (bits & 0x10) !== 0,
      urg: (bits & 0x20) !== 0,
    },
    payload: bytes.subarray(headerBytes),
  };
}

/** Whether a segment opens a connection to this port: SYN without ACK. */
export function isConnectionAttempt(segment: Uint8Array, port: number): boolean {
  const tcp = decodeTcp(segment);
  return tcp?.destinationPort === port && tcp.flags.syn && !tcp.flags.ack;
}

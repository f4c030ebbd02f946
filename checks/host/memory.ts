/** @module Memory that the C library keeps for later, given back to the kernel. */
import koffi from 'koffi';

/**
 * Makes a function that gives back what malloc(3) has freed but kept: loading the program and a round of many probes leave
 * megabytes of it. glibc alone has malloc_trim(3); with another C library the function does nothing.
 */
export function createMemoryRelease(): () => void {
  let trim: (pad: number) => number;
  try {
    trim = koffi.load(null).func('int malloc_trim(size_t pad)');
  } catch {
    return () => {};
  }
  return () => {
    trim(0);
  };
}

/**
 * @agent any
 *
 * Whether the hypervisor is told which memory is free, and takes it back: what a machine has freed it has to get
 * again when it next touches it, which costs each page several microseconds.
 *
 * Source: the virtio specification, 5.5.3 (feature bits of the memory balloon device) and 5.5.6.8; sysfs of Linux.
 */
import fs from 'node:fs';
import path from 'node:path';

const BALLOON_DRIVER = '/sys/bus/virtio/drivers/virtio_balloon';
/** VIRTIO_BALLOON_F_PAGE_REPORTING. A device's `features` has a character for each bit, the lowest first. */
const PAGE_REPORTING_BIT = 5;

/** False where the system does not say. */
export function reportsFreePages(driverDirectory: string = BALLOON_DRIVER): boolean {
  try {
    return fs
      .readdirSync(driverDirectory)
      .filter((name) => /^virtio\d+$/.test(name))
      .map((name) => fs.readFileSync(path.join(driverDirectory, name, 'features'), 'latin1'))
      .some((features) => features[PAGE_REPORTING_BIT] === '1');
  } catch {
    return false;
  }
}

export async function writeReport(): Promise<void> {}
export async function plot(): Promise<void> {}

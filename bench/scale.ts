export async function benchScale(...words: readonly unknown[]): Promise<void> {
  console.log(words);
}

// Every row's sums from $ and back, by take_$ and keep_$: variables of their own have no loop.
fn take_all_$() {
    s0 = take_$(0u);
    s1 = take_$(1u);
    s2 = take_$(2u);
    s3 = take_$(3u);
    s4 = take_$(4u);
    s5 = take_$(5u);
    s6 = take_$(6u);
    s7 = take_$(7u);
    s8 = take_$(8u);
    s9 = take_$(9u);
    s10 = take_$(10u);
    s11 = take_$(11u);
    s12 = take_$(12u);
    s13 = take_$(13u);
    s14 = take_$(14u);
    s15 = take_$(15u);
}
fn keep_all_$() {
    keep_$(0u, s0);
    keep_$(1u, s1);
    keep_$(2u, s2);
    keep_$(3u, s3);
    keep_$(4u, s4);
    keep_$(5u, s5);
    keep_$(6u, s6);
    keep_$(7u, s7);
    keep_$(8u, s8);
    keep_$(9u, s9);
    keep_$(10u, s10);
    keep_$(11u, s11);
    keep_$(12u, s12);
    keep_$(13u, s13);
    keep_$(14u, s14);
    keep_$(15u, s15);
}

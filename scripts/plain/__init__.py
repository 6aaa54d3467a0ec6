"""The paper's twelve combinations written the plain way: one picture, every row, every map, nothing shared.

What tests and the benchmark hold the package against. It spends UNet rows as the reference implementation
does, passes included whose result is only shown or dropped, and writes out what the package leaves out, folds
together or hands to a fused kernel. It shares with the package the schedule, the text embeddings, the encoded
picture and the plan of words; neither the loop nor the rows, the attention control or the inversions.
"""

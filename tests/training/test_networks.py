import pytest
import torch
from torchvision import models as zoo

from vaaffect.base.errors import UserError
from vaaffect.training.networks import (
    NETWORK_NAMES,
    OURS,
    build_model,
    count_parameters,
    head_name,
    head_of,
    put_head,
)

# A small member of every family, with the smallest pictures it takes.
MEMBERS = {
    "alexnet": 63, "convnext_tiny": 32, "densenet121": 29, "efficientnet_b0": 64, "googlenet": 32,
    "inception_v3": 75, "maxvit_t": 224, "mnasnet0_5": 32, "mobilenet_v2": 32,
    "mobilenet_v3_small": 32, "regnet_x_400mf": 64, "resnet18": 32, "resnet10": 32,
    "resnet_tiny": 32,
    "shufflenet_v2_x0_5": 32, "squeezenet1_1": 32, "swin_t": 32, "vgg11_bn": 32,
    "vgg_tiny_bn": 32, "vit_b_32": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_each_family_gives_two_outputs_and_learns(name):
    torch.manual_seed(0)
    size = MEMBERS[name]
    model = build_model(name, image_size=size).train()
    n = 4 if size < 224 else 1
    x, va = torch.rand(n, 3, size, size) * 2 - 1, torch.rand(n, 2) - 1  # answers below 0 too
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, fused=True)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)  # the same dropout
        out = model(x)
        assert out.shape == (n, 2)
        loss = torch.nn.functional.mse_loss(out, va)
        losses.append(loss.item())
        if len(losses) == 1:
            loss.backward()
            optimizer.step()
    assert all(p.grad is not None for p in model.parameters())
    assert losses[1] != losses[0]
    # The head is the last layer: without it, the network answers with what the head reads.
    head = head_of(model)
    assert isinstance(head, torch.nn.Linear) and head.out_features == 2
    model.eval()
    with torch.no_grad():
        whole = model(x[:1])
        put_head(model, torch.nn.Identity())
        features = model(x[:1])
        assert features.shape == (1, head.in_features)
        assert torch.allclose(head(features), whole, atol=1e-5)
        put_head(model, head)
        assert torch.equal(model(x[:1]), whole)


def test_every_family_of_torchvision_has_a_member_here_and_a_name():
    kinds = {zoo.get_model_builder(name).__module__ for name in MEMBERS if name not in OURS}
    assert {zoo.get_model_builder(name).__module__ for name in zoo.list_models(zoo)} == kinds
    assert NETWORK_NAMES["vgg11_bn"] == "VGG11-bn" and NETWORK_NAMES["resnet152"] == "ResNet152"
    assert NETWORK_NAMES["mnasnet0_5"] == "MNASNet0.5" and NETWORK_NAMES["vit_b_16"] == "ViT-b-16"
    assert NETWORK_NAMES["resnext50_32x4d"] == "ResNeXt50-32x4d"
    assert len(set(NETWORK_NAMES.values())) == len(NETWORK_NAMES)


def test_architectures_of_the_literature_are_torchvisions_with_another_head():
    compared = [
        ("alexnet", zoo.alexnet, 57_012_034),
        ("vgg11_bn", zoo.vgg11_bn, 128_780_034),
        ("resnet152", zoo.resnet152, 58_147_906),
    ]
    for name, factory, parameters in compared:
        with torch.device("meta"):  # shapes alone
            theirs, ours = factory(), build_model(name)
        shapes = {k: v.shape for k, v in ours.state_dict().items()}
        different = {k for k, v in theirs.state_dict().items() if shapes[k] != v.shape}
        assert different == (
            {"fc.weight", "fc.bias"}
            if name == "resnet152"
            else {"classifier.6.weight", "classifier.6.bias"}
        )
        assert count_parameters(ours) == parameters


def test_small_vgg_computes_what_torchvisions_stretched_map_computes():
    # A 2 x 2 map stretched to 7 x 7 repeats its values; summing the repeated weights gives the
    # smaller layer that computes the same. With 7 not divisible by 2 the stretch averages at the
    # seam, so take it from the pooling itself.
    small = build_model("vgg11_bn", image_size=64)
    large = zoo.vgg11_bn(num_classes=2)
    side = 2
    basis = torch.eye(side * side).view(side * side, 1, side, side)
    stretch = large.avgpool(basis).view(side * side, 49)  # (4, 49)
    weight = large.classifier[0].weight.view(4096, 512, 49)
    with torch.no_grad():
        large.classifier[-1] = small.classifier[-1]
        small.classifier[3] = large.classifier[3]
        small.classifier[0].weight.copy_((weight @ stretch.T).reshape(4096, -1))
        small.classifier[0].bias.copy_(large.classifier[0].bias)
        small.features = large.features
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(small.eval()(x), large.eval()(x), rtol=1e-4, atol=1e-5)


def test_unknown_names_and_weights_are_refused():
    with pytest.raises(UserError, match="unknown model 'resnet151'; did you mean resnet152 or"):
        build_model("resnet151")
    with pytest.raises(UserError, match="did you mean efficientnet_b0 or"):
        build_model("EfficientNet-B0")
    with pytest.raises(UserError, match=r"unknown model 'xyz'; one of resnet10, .*, vit_b_16, "):
        build_model("xyz")
    with pytest.raises(UserError, match="unknown weights"):
        build_model("resnet18", "vggface")
    for name in ("resnet10", "vit_h_14"):
        with pytest.raises(UserError, match=f"no ImageNet weights for {name}"):
            build_model(name, "imagenet")


@pytest.mark.parametrize(
    ("name", "weights", "size", "said"),
    [
        ("alexnet", None, 62, "alexnet needs pictures of at least 63 pixels, these have 62; use S"),
        ("alexnet", "imagenet", 62, "alexnet needs pictures of at least 63 pixels"),
        ("inception_v3", None, 74, "inception_v3 needs pictures of at least 75 pixels"),
        ("vit_b_16", None, 36, "must be a multiple of 16 pixels; these have 36; use SIZE 32"),
        ("vit_b_32", None, 8, "must be a multiple of 32 pixels; these have 8; use SIZE 32"),
        ("vit_b_16", "imagenet", 64, "ImageNet weights for pictures of 224 pixels, these have 64"),
        ("maxvit_t", None, 256, "must be a multiple of 224 pixels; these have 256; use SIZE 224"),
    ],
)
def test_pictures_that_a_family_cannot_take_are_refused(name, weights, size, said):
    with pytest.raises(UserError, match=said):
        build_model(name, weights, image_size=size)


@pytest.mark.parametrize("name", ["vgg11_bn", "vit_b_32", "googlenet"])
def test_a_pretrained_network_can_be_built_again_without_a_download(name):
    # What `load_model` relies on: the same shapes as torchvision's weights have, but for the head.
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        ours = build_model(name, "imagenet", image_size=224, load=False)
        theirs = zoo.get_model(name, weights=None, **options).state_dict()
    head = {f"{head_name(ours)}.{of}" for of in ("weight", "bias")}
    for key, value in ours.state_dict().items():
        assert key in head or theirs[key].shape == value.shape


def test_missing_imagenet_weights_are_a_clear_error(monkeypatch, tmp_path, no_network):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"resnet18-f37072fd\.pth where there is a network"
    ) as error:
        build_model("resnet18", "imagenet")
    assert str(tmp_path) in str(error.value)
